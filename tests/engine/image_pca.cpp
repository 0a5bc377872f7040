#include "engine/models/image/image_pca.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <map>

#include "kernels/common/error.h"

namespace doppel {
namespace {

const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

uint32_t hash(uint64_t x) {
  x = (x + 1) * 0x9E3779B97F4A7C15u;
  x ^= x >> 29;
  return static_cast<uint32_t>(x * 0xBF58476D1CE4E5B9u >> 33);
}
double uniform(uint64_t x) {
  return static_cast<double>(hash(x)) / 0x1p31 - 0.5;
}

// Two labels, "b" twice as frequent: two factors and noise of its own each, far from 0 and 255.
Images two_labels(int64_t count, const ImageShape& shape = {1, 3, 5}) {
  Images images;
  images.shape = shape;
  images.label_names = {"a", "b"};
  for (int64_t i = 0; i < count; ++i) {
    const int32_t label = i % 3 == 0 ? 0 : 1;
    images.labels.push_back(label);
    for (int64_t j = 0; j < shape.size(); ++j) {
      const auto at = static_cast<uint64_t>(i * 1000 + j);
      const double slope = static_cast<double>(j) / static_cast<double>(shape.size()) - 0.5;
      const double level = 128 + 20 * (label == 0 ? slope : -slope) + 60 * uniform(at / 1000 * 7 + 1) * slope +
                           30 * uniform(at / 1000 * 7 + 2) + 10 * uniform(at * 13 + 5);
      images.pixels.push_back(static_cast<uint8_t>(std::lround(level)));
    }
  }
  return images;
}

std::unique_ptr<Model> fit(const Images& images, const std::string& components = "auto") {
  FitOptions options;
  options.model = "pca";
  options.components = components;
  return fit_image_model(images, options, cpu());
}

struct Rows {
  std::vector<uint8_t> images;
  std::vector<int32_t> labels;
  bool operator==(const Rows&) const = default;
};

Rows sample(const Generator& generator, uint64_t first, int64_t count, int64_t batch_rows) {
  const OutputSchema& schema = generator.schema();
  const auto sampler = generator.make_sampler();
  Batch batch = sampler->make_batch(schema, batch_rows);
  Rows rows;
  for (int64_t done = 0; done < count; done += batch_rows) {
    const int64_t now = std::min(batch_rows, count - done);
    sampler->sample(first + static_cast<uint64_t>(done), now, batch);
    rows.images.insert(rows.images.end(), batch.images(), batch.images() + now * schema.image.size());
    if (schema.columns.empty()) continue;
    const auto* labels = static_cast<const int32_t*>(batch.buffer(0).values);
    rows.labels.insert(rows.labels.end(), labels, labels + now);
  }
  return rows;
}

// Mean and covariance of the images of a label, by the definition.
struct Moments {
  std::vector<double> mean, covariance;
  double count = 0;
};
Moments moments_of(const std::vector<uint8_t>& pixels, const std::vector<int32_t>& labels, int32_t label,
                   size_t levels) {
  Moments moments;
  moments.mean.resize(levels), moments.covariance.resize(levels * levels);
  const auto for_each = [&](const auto& visit) {
    for (size_t i = 0; i < pixels.size() / levels; ++i)
      if (labels.empty() || labels[i] == label) visit(pixels.data() + i * levels);
  };
  for_each([&](const uint8_t* image) {
    ++moments.count;
    for (size_t j = 0; j < levels; ++j) moments.mean[j] += image[j];
  });
  for (double& mean : moments.mean) mean /= moments.count;
  for_each([&](const uint8_t* image) {
    for (size_t j = 0; j < levels; ++j)
      for (size_t k = 0; k < levels; ++k)
        moments.covariance[j * levels + k] +=
            (image[j] - moments.mean[j]) * (image[k] - moments.mean[k]) / moments.count;
  });
  return moments;
}

TEST(ImagePca, AllComponentsAreTheCovarianceOfEachLabel) {
  const Images images = two_labels(300);
  const ModelFile file = fit(images, "all")->save();
  const auto mean = file.tensor("mean", {2, 15}).to<float>(), residual = file.tensor("residual", {2, 15}).to<float>();
  const Tensor& tensor = file.tensor("factor", {2, 15, -1});
  const auto factor = tensor.to<float>();
  const auto components = static_cast<size_t>(tensor.shape[2]);
  EXPECT_EQ(components, 15u);
  for (size_t label = 0; label < 2; ++label) {
    const Moments moments = moments_of(images.pixels, images.labels, static_cast<int32_t>(label), 15);
    for (size_t j = 0; j < 15; ++j) {
      EXPECT_NEAR(mean[label * 15 + j], moments.mean[j], 1e-4);
      for (size_t k = 0; k < 15; ++k) {
        double product = j == k ? residual[label * 15 + j] * residual[label * 15 + j] : 0;
        for (size_t c = 0; c < components; ++c)
          product += static_cast<double>(factor[(label * 15 + j) * components + c]) *
                     static_cast<double>(factor[(label * 15 + k) * components + c]);
        EXPECT_NEAR(product, moments.covariance[j * 15 + k], 0.02) << j << ' ' << k;
      }
    }
  }
}

TEST(ImagePca, RowsHaveTheMeansAndTheCovarianceOfTheirLabels) {
  const Images images = two_labels(600);
  const auto generator = fit(images, "2")->make_generator(5, cpu());
  const Rows rows = sample(*generator, 0, 30000, 512);
  for (int32_t label = 0; label < 2; ++label) {
    const Moments asked = moments_of(images.pixels, images.labels, label, 15);
    const Moments made = moments_of(rows.images, rows.labels, label, 15);
    EXPECT_NEAR(made.count / 30000, label == 0 ? 1 / 3. : 2 / 3., 4 * std::sqrt(2 / 9. / 30000));
    for (size_t j = 0; j < 15; ++j) {
      const double variance = asked.covariance[j * 15 + j];
      EXPECT_NEAR(made.mean[j], asked.mean[j], 4 * std::sqrt(variance / made.count) + 0.01);
      // Of a Gaussian's variance, with 1/12 for rounding; two components have what levels share.
      EXPECT_NEAR(made.covariance[j * 15 + j], variance + 1 / 12., 4 * variance * std::sqrt(2 / made.count));
      const size_t other = (j + 7) % 15;
      EXPECT_NEAR(made.covariance[j * 15 + other], asked.covariance[j * 15 + other],
                  4 * std::sqrt(2 * variance * asked.covariance[other * 16] / made.count) + 2);
    }
  }
}

TEST(ImagePca, RowsAreFunctionsOfSeedAndNumber) {
  const auto model = fit(two_labels(60));
  const auto generator = model->make_generator(7, cpu());
  const Rows whole = sample(*generator, 0, 500, 500);
  EXPECT_EQ(sample(*generator, 0, 500, 37), whole);
  const Rows later = sample(*generator, 123, 200, 64);
  EXPECT_EQ(later.images, std::vector<uint8_t>(whole.images.begin() + 123 * 15, whole.images.begin() + 323 * 15));
  EXPECT_EQ(later.labels, std::vector<int32_t>(whole.labels.begin() + 123, whole.labels.begin() + 323));
  EXPECT_NE(sample(*model->make_generator(8, cpu()), 0, 500, 500), whole);
  const auto loaded = load_model(parse_model_file(serialise(model->save()), "m"));
  EXPECT_EQ(sample(*loaded->make_generator(7, cpu()), 0, 500, 500), whole);
  EXPECT_EQ(serialise(loaded->save()), serialise(model->save()));
}

TEST(ImagePca, LabelsAreThoseAskedFor) {
  const auto model = fit(two_labels(60));
  const auto labels_of = [&](const std::string& choice) {
    const auto generator = model->make_generator_of({choice}, 1, cpu());
    EXPECT_EQ(generator->schema().columns[0].schema.levels, (std::vector<std::string>{"a", "b"}));
    std::map<int32_t, int> counts;
    for (const int32_t label : sample(*generator, 0, 4000, 256).labels) ++counts[label];
    return counts;
  };
  EXPECT_EQ(labels_of("b"), (std::map<int32_t, int>{{1, 4000}}));
  EXPECT_NEAR(labels_of("balanced")[0], 2000, 8);  // shared out evenly, not drawn independently
  EXPECT_NEAR(labels_of("as-data")[0], 4000 / 3., 8);
  EXPECT_THROW(labels_of("c"), UsageError);
  EXPECT_THROW(model->make_generator_where("label=a", 1, cpu()), UsageError);
}

TEST(ImagePca, ImagesWithoutLabelsAreOneGaussian) {
  Images images = two_labels(80, {3, 4, 4});
  images.labels.clear(), images.label_names.clear();
  const auto model = fit(images);
  EXPECT_TRUE(model->schema().columns.empty());
  const auto generator = model->make_generator(1, cpu());
  EXPECT_EQ(generator->schema().image, (ImageShape{3, 4, 4}));
  const Rows rows = sample(*generator, 0, 3000, 100);
  const Moments asked = moments_of(images.pixels, {}, 0, 48), made = moments_of(rows.images, {}, 0, 48);
  for (size_t j = 0; j < 48; ++j)
    EXPECT_NEAR(made.mean[j], asked.mean[j], 4 * std::sqrt(asked.covariance[j * 49] / 3000) + 0.01);
  EXPECT_THROW(model->make_generator_of({"balanced"}, 1, cpu()), UsageError);
}

TEST(ImagePca, LevelsThatNeverChangeAndLabelsOfOneImageComeOutAsTheyAre) {
  Images images = two_labels(40);
  images.label_names.push_back("once");
  images.labels[5] = 2;
  for (int64_t i = 0; i < 40; ++i)
    images.pixels[static_cast<size_t>(i * 15)] = 255, images.pixels[static_cast<size_t>(i * 15 + 1)] = 0;
  const auto model = fit(images);
  const Rows rows = sample(*model->make_generator_of({"once"}, 3, cpu()), 0, 100, 100);
  for (size_t i = 0; i < 100; ++i) EXPECT_EQ(0, std::memcmp(rows.images.data() + i * 15, images.image(5), 15));
  const Rows others = sample(*model->make_generator_of({"a..b"}, 3, cpu()), 0, 100, 100);
  for (size_t i = 0; i < 100; ++i) {
    EXPECT_EQ(others.images[i * 15], 255);
    EXPECT_EQ(others.images[i * 15 + 1], 0);
  }
}

TEST(ImagePca, ComponentsByShareCountAndAll) {
  const Images images = two_labels(200);
  const auto explained = [&](const std::string& components) {
    const nlohmann::json shares = fit(images, components)->describe()["explained_variance"];
    double sum = 0;
    for (const auto& share : shares) sum += share.get<double>();
    return std::pair(shares.size(), sum);
  };
  EXPECT_EQ(explained("3").first, 3u);
  EXPECT_EQ(explained("all").first, 15u);
  EXPECT_NEAR(explained("all").second, 1, 1e-4);
  const auto [count, share] = explained("0.9");
  EXPECT_GE(share, 0.9);
  EXPECT_LT(explained(std::to_string(count - 1)).second, 0.9);
  for (const char* wrong : {"16", "0", "-1", "1.5", "many"}) EXPECT_THROW(fit(images, wrong), UsageError) << wrong;
}

TEST(ImagePca, RefusesOptionsThatImagesDoNotHave) {
  const Images images = two_labels(10);
  const auto refused = [&](const auto& change) {
    FitOptions options;
    options.model = "pca";
    change(options);
    EXPECT_THROW(fit_image_model(images, options, cpu()), UsageError);
  };
  refused([](FitOptions& options) { options.model = "auto"; });
  refused([](FitOptions& options) { options.model = "mixture"; });
  refused([](FitOptions& options) { options.members = "3"; });
  refused([](FitOptions& options) { options.space = "standardised"; });
  refused([](FitOptions& options) { options.target = "label"; });
  refused([](FitOptions& options) { options.memory_bytes = 1000; });
}

TEST(ImagePca, RefusesFilesThatContradictThemselves) {
  const ModelFile good = fit(two_labels(30), "2")->save();
  EXPECT_NO_THROW(load_model(good));
  const auto refused = [&](const auto& change) {
    ModelFile bad = good;
    change(bad);
    EXPECT_THROW(load_model(bad), InputError);
  };
  refused([](ModelFile& file) { file.metadata["image"]["height"] = 4; });
  refused([](ModelFile& file) { file.metadata["image"]["channels"] = 2; });
  refused([](ModelFile& file) { file.metadata.erase("image"); });
  refused([](ModelFile& file) { file.metadata["label_names"] = {"a"}; });
  refused([](ModelFile& file) { file.metadata["label_names"] = {1, 2}; });
  refused([](ModelFile& file) { file.metadata["version"] = 99; });
  for (const char* name : {"mean", "factor", "residual", "eigenvalues", "variance", "shares"}) {
    refused([&](ModelFile& file) { file.tensors.erase(name); });
    refused([&](ModelFile& file) { std::memset(file.tensors[name].bytes.data(), 0xff, 8); });  // NaN
  }
  refused([](ModelFile& file) { file.tensors["shares"] = Tensor::from(std::vector<double>{0, 0}, {2}); });
}

}  // namespace
}  // namespace doppel
