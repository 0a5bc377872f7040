// Networks of images as models: by name, through the generator, with the same rows whatever the batches.
#include <gtest/gtest.h>

#include "engine/model.h"
#include "kernels/common/error.h"
#include "tests/engine/image_cases.h"

namespace doppel {
namespace {

FitOptions options_of(const std::string& model) {
  FitOptions options;
  options.model = model;
  options.epochs = "1";
  options.seed = 3;
  return options;
}

std::unique_ptr<Model> fit(const std::string& model, const Images& images) {
  return fit_image_model(images, options_of(model), *make_backend("cpu"));
}

struct MadeRows {
  std::vector<uint8_t> pixels;
  std::vector<int32_t> labels;
};

MadeRows make_rows(const Generator& generator, uint64_t first, const std::vector<int64_t>& batches) {
  const int64_t size = generator.schema().image.size();
  MadeRows made;
  const auto sampler = generator.make_sampler();
  for (const int64_t rows : batches) {
    Batch batch = sampler->make_batch(generator.schema(), rows);
    sampler->sample(first, rows, batch);
    EXPECT_EQ(batch.rows, rows);
    made.pixels.insert(made.pixels.end(), batch.images(), batch.images() + rows * size);
    const auto* labels = static_cast<const int32_t*>(batch.buffer(0).values);
    made.labels.insert(made.labels.end(), labels, labels + rows);
    first += static_cast<uint64_t>(rows);
  }
  return made;
}

TEST(ImageModels, VaesMakeTheSameRowsInAnyBatches) {
  const Images images = make_bars(120, {1, 12, 10}, 3, 3);
  const auto backend = make_backend("cpu");
  for (const char* name : {"vae", "vae-dense"}) {
    const std::unique_ptr<Model> model = fit(name, images);
    const auto generator = model->make_generator(5, *backend);
    const MadeRows whole = make_rows(*generator, 100, {300});
    const MadeRows parts = make_rows(*generator, 100, {1, 27, 128, 144});
    EXPECT_EQ(parts.pixels, whole.pixels);
    EXPECT_EQ(parts.labels, whole.labels);
    const auto loaded = load_model(parse_model_file(serialise(model->save()), "test"));
    EXPECT_EQ(make_rows(*loaded->make_generator(5, *backend), 100, {300}).pixels, whole.pixels);
  }
}

TEST(ImageModels, VaesMakeTheLabelsAskedFor) {
  const std::unique_ptr<Model> model = fit("vae-dense", make_bars(120, {1, 12, 10}, 3, 3));
  const auto backend = make_backend("cpu");
  for (const int32_t label : make_rows(*model->make_generator_of({"bar 1"}, 5, *backend), 0, {200}).labels)
    EXPECT_EQ(label, 1);
  EXPECT_THROW(model->make_generator_of({"bar 9"}, 5, *backend), UsageError);
  EXPECT_THROW(model->make_generator_where("label=bar 1", 5, *backend), UsageError);
}

TEST(ImageModels, ClassifiersComeBackAndMakeNothing) {
  const std::unique_ptr<Model> model = fit("cnn", make_bars(120, {1, 12, 10}, 3, 3));
  const std::vector<std::byte> bytes = serialise(model->save());
  const auto loaded = load_model(parse_model_file(bytes, "test"));
  EXPECT_EQ(serialise(loaded->save()), bytes);
  EXPECT_EQ(loaded->schema().columns.at(0).levels.size(), 3u);
  for (const char* field : {"history", "image", "label_names", "rows"})
    EXPECT_TRUE(model->describe().contains(field)) << field;
  EXPECT_THROW(loaded->make_generator(1, *make_backend("cpu")), UsageError);
}

TEST(ImageModels, WrongOptionsAreUsageErrors) {
  for (const char* name : {"vae", "vae-dense", "cnn"}) {
    FitOptions options = options_of(name);
    EXPECT_NO_THROW(check_image_fit_options(options));
    options.epochs = "0";
    EXPECT_THROW(check_image_fit_options(options), UsageError);
    options = options_of(name);
    options.members = "3";
    EXPECT_THROW(check_image_fit_options(options), UsageError);
    options = options_of(name);
    options.target = "label";
    EXPECT_THROW(check_image_fit_options(options), UsageError);
  }
}

}  // namespace
}  // namespace doppel
