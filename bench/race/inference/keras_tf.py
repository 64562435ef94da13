from keras_network import VERSION, build, tf
from network import arguments, serve

case, path, threads = arguments()
x = case.load()
model = build(case, threads)
x = tf.constant(x)


@tf.function
def predict(x):
    return tf.cast(model(x, training=False), tf.float32)


def run():
    return predict(x).numpy()


serve(VERSION, run(), path, run)
