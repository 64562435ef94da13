from keras_network import VERSION, build, keras, tf
from network import arguments, serve

case, path, threads = arguments()
x = case.load()
model = build(case, threads)
x, y = tf.constant(x), tf.constant(case.labels())
model.compile(keras.optimizers.RMSprop(1e-5, epsilon=1e-14), "binary_crossentropy")


def step():
    model.reset_metrics()  # else the loss is a mean over steps
    return float(model.train_on_batch(x, y))


serve(VERSION, [step() for _ in range(3)], path, step)
