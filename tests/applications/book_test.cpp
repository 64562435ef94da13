#include <catch2/catch.hpp>

#include <strata/applications/book.hpp>
#include <strata/layers/layers.hpp>

using namespace strata;

TEST_CASE("The first edition's pictures") {
  const auto edition = book::first_edition();
  const ImageDataGeneratorOptions& options = edition.augmented;
  CHECK(options.rotation_range == 40);
  CHECK(options.width_shift_range.values == std::vector<double>{0.2});
  CHECK(options.height_shift_range.values == std::vector<double>{0.2});
  CHECK(options.shear_range == Approx(11.459155902616466));  // numpy.rad2deg(0.2)
  CHECK((options.zoom_range.low == 0.8 && options.zoom_range.high == 1.2));
  CHECK((options.horizontal_flip && !options.vertical_flip));
  CHECK(options.fill_mode == FillMode::nearest);
  CHECK((options.rescale == 1.0 / 255 && edition.plain.rescale == 1.0 / 255));
  CHECK_FALSE(Augmentation(edition.plain));
  CHECK(edition.flow.target_size == std::array<std::int64_t, 2>{150, 150});
  CHECK(edition.flow.batch_size == 20);
  CHECK(edition.flow.class_mode == ClassMode::binary);
}

TEST_CASE("The second edition's pictures") {
  auto edition = book::second_edition();
  CHECK(edition.pictures.image_size == std::array<std::int64_t, 2>{180, 180});
  CHECK(edition.pictures.batch_size == 32);
  CHECK(edition.pictures.label_mode == LabelMode::binary);
  CHECK(edition.preprocess_input == applications::caffe_scaling);
  std::string layers;
  for (const Layer& layer : edition.data_augmentation.layers())
    layers += layer.impl()->config().dump() + "\n";
  CHECK_THAT(layers, Catch::Contains("\"horizontal\"") && Catch::Contains("0.1") && Catch::Contains("0.2"));
  CHECK(edition.data_augmentation.layers().size() == 3);
  edition.data_augmentation.build({180, 180, 3});
  CHECK(edition.data_augmentation.output_shape() == Shape{180, 180, 3});
}
