#include "engine/models/image/image_pca.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <string>

#include "engine/image/image_schema.h"
#include "engine/image/label_choice.h"
#include "engine/models/alias_table.h"
#include "engine/models/fit_report.h"
#include "engine/models/image/image_gaussians.h"
#include "engine/models/image/image_metadata.h"
#include "engine/models/image/image_pca_coder.h"
#include "engine/models/leading_directions.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kImagePcaVersion = 1;
constexpr double kNoVariance = 1e-6;             // of a level, in squares of levels: rounding
constexpr int64_t kMostComponentsOfShare = 512;  // a share of variance takes no more
constexpr int64_t kBlockLevels = 1 << 18;        // that are centred at a time
constexpr int64_t kTileRows = 256;      // sampled and turned to images at a time: what a mixture's sampler makes
constexpr double kDirectionBytes = 40;  // held for a level of a direction while they are found

// The Gaussians of the labels of a weight > 0 as a mixture whose columns are the levels and, where there are names, the
// label.
TableSampler make_image_sampler(const ImageGaussians& model, const std::vector<double>& weights) {
  TableSampler sampler;
  const int64_t levels = model.shape.size();
  sampler.members = 0;
  sampler.latents = static_cast<int32_t>(levels);
  sampler.components = static_cast<int32_t>(model.components);
  Emission label;
  label.states = static_cast<int32_t>(model.labels);
  label.first = {0};
  std::vector<Outcome> outcomes;
  const auto append = [](const std::vector<float>& from, int64_t of_label, int64_t size, std::vector<float>& to) {
    for (int64_t i = of_label * size; i < (of_label + 1) * size; ++i) to.push_back(effective_weight(from[i]));
  };
  for (int64_t i = 0; i < model.labels; ++i) {
    if (!(weights[i] > 0)) continue;
    outcomes.push_back({sampler.members++, weights[i]});
    append(model.mean, i, levels, sampler.mean);
    append(model.factor, i, levels * model.components, sampler.factor);
    append(model.residual, i, levels, sampler.residual);
    const Outcome certain{static_cast<int32_t>(i), 1};
    append_alias({&certain, 1}, label.table);
    label.above.push_back(-1);
    label.first.push_back(label.first.back() + 1);
  }
  append_alias(outcomes, sampler.member);
  sampler.balanced = true;
  for (int64_t level = 0; level < levels; ++level) {
    ColumnSampler& column = sampler.columns.emplace_back();
    column.transform = Transform::kLinear;
    column.latent = static_cast<int32_t>(level);
    column.maximum = 255;
  }
  if (model.label_names.empty()) return sampler;
  sampler.emissions.push_back(std::move(label));
  ColumnSampler& column = sampler.columns.emplace_back();
  column.emission = 0;
  for (int64_t i = 0; i < model.labels; ++i) {
    column.state_role.push_back(StateRole::kValue);
    column.state_integer.push_back(i);
  }
  return sampler;
}

// Levels [level, row] to images [row, level].
void turn_to_images(const int32_t* columns, int64_t stride, int64_t levels, int64_t rows, uint8_t* images) {
  int64_t level = 0;
  for (; level + 4 <= levels; level += 4) {
    const int32_t* four = columns + level * stride;
    for (int64_t row = 0; row < rows; ++row) {
      const auto packed = static_cast<uint32_t>(four[row] | four[stride + row] << 8 | four[2 * stride + row] << 16) |
                          static_cast<uint32_t>(four[3 * stride + row]) << 24;
      std::memcpy(images + row * levels + level, &packed, sizeof packed);  // little-endian, as everywhere here
    }
  }
  for (; level < levels; ++level)
    for (int64_t row = 0; row < rows; ++row)
      images[row * levels + level] = static_cast<uint8_t>(columns[level * stride + row]);
}

class ImageRowSampler : public RowSampler {
 public:
  ImageRowSampler(const OutputSchema& schema, uint64_t seed, std::unique_ptr<PreparedTableSampler> prepared)
      : levels_(schema.image.size()),
        has_labels_(!schema.columns.empty()),
        seed_(seed),
        prepared_(std::move(prepared)) {
    const auto row_bytes = levels_ * static_cast<int64_t>(sizeof(int32_t));
    // A sampler on a device prefers more rows at a time.
    const auto preferred = static_cast<int64_t>(prepared_->preferred_bytes());
    tile_rows_ = std::max(preferred / row_bytes / kTileRows * kTileRows, kTileRows);
    tile_ = prepared_->allocate(static_cast<size_t>(tile_rows_ * row_bytes));
    for (int64_t level = 0; level < levels_; ++level)
      buffers_.push_back({reinterpret_cast<int32_t*>(tile_.get()) + level * tile_rows_, nullptr});
    if (has_labels_) buffers_.emplace_back();
  }

  size_t preferred_bytes() const override {  // of a tile
    return static_cast<size_t>(tile_rows_) * (static_cast<size_t>(levels_) + (has_labels_ ? sizeof(int32_t) : 0));
  }

  void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
    for (int64_t done = 0; done < rows; done += tile_rows_) {
      const int64_t count = std::min(tile_rows_, rows - done);
      if (has_labels_) buffers_.back().values = static_cast<int32_t*>(batch.buffer(0).values) + done;
      prepared_->sample(seed_, first_row + static_cast<uint64_t>(done), count, buffers_);
      turn_to_images(reinterpret_cast<const int32_t*>(tile_.get()), tile_rows_, levels_, count,
                     batch.images() + done * levels_);
    }
    batch.seed = seed_;
    batch.first_row = first_row;
    batch.rows = rows;
  }

 private:
  int64_t levels_;
  bool has_labels_;
  uint64_t seed_;
  std::unique_ptr<PreparedTableSampler> prepared_;
  int64_t tile_rows_ = 0;
  HostMemory tile_{nullptr, nullptr};  // [levels, tile_rows]
  std::vector<ColumnBuffer> buffers_;
};

class ImageGenerator : public Generator {
 public:
  ImageGenerator(const ImageGaussians& model, const std::vector<double>& weights, uint64_t seed, const Backend& backend)
      : schema_(make_image_schema(model.shape, model.label_names)),
        sampler_(make_image_sampler(model, weights)),
        seed_(seed),
        backend_(backend) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override {
    return std::make_unique<ImageRowSampler>(schema_, seed_, backend_.prepare_table_sampler(sampler_));
  }
  // The weights, and a tile's normals, scores and levels.
  int64_t sampler_bytes(int64_t) const override {
    const auto weights = static_cast<int64_t>(sampler_.factor.size() + 2 * sampler_.mean.size());
    return static_cast<int64_t>(sizeof(float)) *
               (weights + kTileRows * (3 * schema_.image.size() + sampler_.components)) +
           static_cast<int64_t>(kCacheBytes);
  }

 private:
  OutputSchema schema_;
  TableSampler sampler_;
  uint64_t seed_;
  const Backend& backend_;
};

class ImagePcaModel : public Model {
 public:
  ImagePcaModel(ImageGaussians gaussians, Json about)
      : shared_(std::make_shared<const ImageGaussians>(std::move(gaussians))),
        gaussians_(*shared_),
        about_(std::move(about)) {
    for (const OutputColumn& column : make_image_schema(gaussians_.shape, gaussians_.label_names).columns)
      schema_.columns.push_back(column.schema);
  }

  std::string kind() const override { return kImagePcaKind; }
  const TableSchema& schema() const override { return schema_; }

  ModelFile save() const override {
    ModelFile file;
    file.metadata = about_;
    file.metadata["kind"] = kImagePcaKind;
    file.metadata["version"] = kImagePcaVersion;
    const int64_t labels = gaussians_.labels, levels = gaussians_.shape.size(), components = gaussians_.components;
    file.tensors["mean"] = Tensor::from(gaussians_.mean, {labels, levels});
    file.tensors["factor"] = Tensor::from(gaussians_.factor, {labels, levels, components});
    file.tensors["residual"] = Tensor::from(gaussians_.residual, {labels, levels});
    file.tensors["eigenvalues"] = Tensor::from(gaussians_.eigenvalues, {labels, components});
    file.tensors["variance"] = Tensor::from(gaussians_.variance, {labels});
    file.tensors["shares"] = Tensor::from(gaussians_.shares, {labels});
    return file;
  }

  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return make_generator_of({}, seed, backend);
  }
  std::shared_ptr<const Generator> make_generator_of(const AskedImages& asked, uint64_t seed,
                                                     const Backend& backend) const override {
    if (asked.temperature != 1 || asked.precision != Precision::kSingle)
      throw UsageError("--temperature and --precision are of --model vae, and this model is of --model pca");
    return std::make_shared<ImageGenerator>(
        gaussians_, choose_labels(asked.labels, gaussians_.label_names, gaussians_.shares), seed, backend);
  }

  ConditionedRows make_generator_where(const std::string&, uint64_t, const Backend&) const override {
    throw UsageError("--where: rows of this model are images: --label says of which label");
  }

  std::shared_ptr<const Coder> coder(const Backend& backend) const override {
    return make_image_pca_coder(shared_, backend);
  }

  Json describe() const override {
    Json json = about_;
    json["dimensions"] = gaussians_.shape.size();
    Json& explained = json["explained_variance"] = Json::array();
    double variance = 0;
    for (int64_t i = 0; i < gaussians_.labels; ++i) variance += gaussians_.shares[i] * gaussians_.variance[i];
    for (int64_t k = 0; k < gaussians_.components; ++k) {
      double along = 0;
      for (int64_t i = 0; i < gaussians_.labels; ++i)
        along += gaussians_.shares[i] * gaussians_.eigenvalues[i * gaussians_.components + k];
      explained.push_back(variance > 0 ? along / variance : 0.0);
    }
    return json;
  }

 private:
  std::shared_ptr<const ImageGaussians> shared_;
  const ImageGaussians& gaussians_;
  Json about_;
  TableSchema schema_;
};

// ---- fitting

struct ComponentRule {
  int64_t most = 0;  // found at most
  double share = 1;  // of the variance, which fewer may explain
};

std::optional<double> parse_number(const std::string& text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  const bool is_share = number > 0 && number < 1, is_count = number >= 1 && number == std::floor(number);
  return is_share || is_count ? std::optional(number) : std::nullopt;
}

ComponentRule component_rule(const Images& images, int64_t labels, int64_t most_of_label, const FitOptions& options) {
  const int64_t levels = images.shape.size(), possible = std::min(levels, most_of_label - 1);
  if (options.components == "all") return {possible};
  if (options.components == "auto")
    return {std::min({possible, kAutoImageComponents, std::max<int64_t>(1, kMostAutoWeights / (labels * levels))})};
  const double number = *parse_number(options.components);
  if (number < 1) return {std::min(possible, kMostComponentsOfShare), number};
  if (number > static_cast<double>(levels))
    throw UsageError("--components " + options.components + ": an image has " + std::to_string(levels) +
                     " levels; give fewer, or all");
  return {std::min(possible, static_cast<int64_t>(number))};
}

void check_memory(const ImageGaussians& model, int64_t components, int64_t memory_bytes) {
  const double levels = static_cast<double>(model.shape.size()), count = static_cast<double>(components);
  const double needed = levels * count * (kDirectionBytes + 2 * sizeof(float) * static_cast<double>(model.labels));
  if (needed > static_cast<double>(memory_bytes) / 2)
    throw UsageError(std::to_string(components) + " components of images of " + std::to_string(model.shape.size()) +
                     " levels take " + std::to_string(static_cast<int64_t>(needed) >> 20) +
                     " MiB, more than half of --memory: give fewer --components, or more memory");
}

struct LabelMoments {
  std::vector<int64_t> members;        // numbers of its images
  std::vector<double> mean, variance;  // [levels]
};

void measure(const Images& images, LabelMoments& label) {
  const auto levels = static_cast<size_t>(images.shape.size());
  std::vector<int64_t> sum(levels), square(levels);
  for (const int64_t i : label.members) {
    const uint8_t* image = images.image(i);
    for (size_t j = 0; j < levels; ++j) {
      sum[j] += image[j];
      square[j] += image[j] * image[j];
    }
  }
  const auto count = static_cast<double>(std::max<size_t>(label.members.size(), 1));
  label.mean.resize(levels), label.variance.resize(levels);
  for (size_t j = 0; j < levels; ++j) {
    label.mean[j] = static_cast<double>(sum[j]) / count;
    label.variance[j] = std::max(static_cast<double>(square[j]) / count - label.mean[j] * label.mean[j], 0.0);
  }
}

Directions find_directions(const Images& images, const LabelMoments& label, int64_t kept) {
  const int64_t levels = images.shape.size();
  const auto rows = static_cast<int64_t>(label.members.size());
  const int64_t most = std::clamp<int64_t>(kBlockLevels / levels, 1, std::max<int64_t>(rows, 1));
  std::vector<float> block(static_cast<size_t>(most * levels));
  return leading_directions(levels, kept, [&](const RowConsumer& consume) {
    for (int64_t first = 0; first < rows; first += most) {
      const int64_t count = std::min(most, rows - first);
      for (int64_t row = 0; row < count; ++row) {
        const uint8_t* image = images.image(label.members[first + row]);
        float* to = block.data() + row * levels;
        for (int64_t j = 0; j < levels; ++j) to[j] = static_cast<float>(image[j] - label.mean[j]);
      }
      consume(block.data(), count);
    }
  });
}

std::vector<LabelMoments> group_by_label(const Images& images) {
  std::vector<LabelMoments> labels(std::max<size_t>(images.label_names.size(), 1));
  for (int64_t i = 0; i < images.count(); ++i)
    labels[images.labels.empty() ? 0 : static_cast<size_t>(images.labels[i])].members.push_back(i);
  for (LabelMoments& label : labels) measure(images, label);
  return labels;
}

// How many of the components found explain the share of the variance of all labels.
int64_t count_components(const std::vector<Directions>& found, const std::vector<LabelMoments>& labels,
                         const ComponentRule& rule) {
  if (rule.share >= 1) return rule.most;
  double total = 0, explained = 0;
  for (const LabelMoments& label : labels)
    for (const double variance : label.variance) total += variance * static_cast<double>(label.members.size());
  for (int64_t k = 0; k < rule.most; ++k) {
    if (explained >= rule.share * total) return k;
    for (const Directions& directions : found)
      if (k < static_cast<int64_t>(directions.values.size())) explained += directions.values[k];
  }
  return rule.most;
}

// Appends a label's Gaussian.
void append_gaussian(const LabelMoments& label, const Directions& found, int64_t components, int64_t images,
                     ImageGaussians& to) {
  const auto levels = static_cast<int64_t>(label.mean.size()), kept = static_cast<int64_t>(found.values.size());
  const auto count = static_cast<double>(label.members.size());
  to.shares.push_back(count / static_cast<double>(images));
  to.mean.insert(to.mean.end(), label.mean.begin(), label.mean.end());
  to.variance.push_back(0);
  for (int64_t k = 0; k < components; ++k) to.eigenvalues.push_back(k < kept ? found.values[k] / count : 0.0);
  const double* eigenvalues = to.eigenvalues.data() + to.eigenvalues.size() - components;
  for (int64_t j = 0; j < levels; ++j) {
    double explained = 0;
    for (int64_t k = 0; k < components; ++k) {
      const double weight = k < kept ? found.vectors[j * kept + k] * std::sqrt(eigenvalues[k]) : 0;
      to.factor.push_back(effective_weight(static_cast<float>(weight)));
      explained += weight * weight;
    }
    const double left = label.variance[j] - explained;
    to.residual.push_back(left > kNoVariance ? static_cast<float>(std::sqrt(left)) : 0.0f);
    to.variance.back() += label.variance[j];
  }
}

Json describe_image_fit(const Images& images, const FitOptions& options) {
  Json json;
  save_image_metadata(images.shape, images.label_names, json);
  json["rows"] = images.count();
  json["provenance"] = {
      {"seed", options.seed}, {"components", options.components}, {"versions", {{"doppel", DOPPEL_VERSION}}}};
  return json;
}

// Throws InputError for what the sampler cannot take or what contradicts itself.
void check_gaussians(const ImageGaussians& model) {
  const bool has_names = !model.label_names.empty();
  if (model.labels < 1 || (has_names && model.labels != static_cast<int64_t>(model.label_names.size())) ||
      (!has_names && model.labels != 1))
    throw InputError("model file: its Gaussians are not as many as its labels");
  double sum = 0;
  for (const double share : model.shares) {
    if (!(share >= 0 && share <= 1)) throw InputError("model file: a label's share is no probability");
    sum += share;
  }
  if (!(sum > 0)) throw InputError("model file: no label is probable");
  for (const std::vector<double>* numbers : {&model.eigenvalues, &model.variance})
    for (const double number : *numbers)
      if (!std::isfinite(number)) throw InputError("model file: a variance is not finite");
  try {
    check_table_sampler(make_image_sampler(model, std::vector<double>(static_cast<size_t>(model.labels), 1.0)));
  } catch (const InputError&) {
    throw;
  } catch (const Error& error) {
    throw InputError(std::string("model file: ") + error.what());
  }
}

}  // namespace

void check_image_pca_options(const FitOptions& options) {
  if (options.components != "auto" && options.components != "all" && !parse_number(options.components))
    throw UsageError("--components '" + options.components +
                     "': a count, a share of variance between 0 and 1, all or auto");
  if (options.members != "auto" || options.space != "scores" || options.epochs != "auto" || options.latent != "auto" ||
      options.prior != "auto" || options.texture != "auto" || options.likelihood != "auto")
    throw UsageError(
        "--members, --space, --epochs, --latent, --prior, --texture and --likelihood are not of --model pca of images");
  if (!options.target.empty() || !options.constraints.empty())
    throw UsageError("--target and --constraint are of tables, and the data are images");
}

std::unique_ptr<Model> fit_image_pca(const Images& images, const FitOptions& options, const Backend&) {
  ImageGaussians model;
  model.shape = images.shape;
  model.label_names = images.label_names;
  const std::vector<LabelMoments> labels = group_by_label(images);
  model.labels = static_cast<int64_t>(labels.size());
  size_t most_of_label = 0;
  for (const LabelMoments& label : labels) most_of_label = std::max(most_of_label, label.members.size());
  const ComponentRule rule = component_rule(images, model.labels, static_cast<int64_t>(most_of_label), options);
  check_memory(model, rule.most, options.memory_bytes);
  std::vector<Directions> found;
  for (const LabelMoments& label : labels) {
    if (options.progress)
      options.progress("finding components", static_cast<double>(found.size()) / static_cast<double>(labels.size()));
    const int64_t kept = std::min(rule.most, static_cast<int64_t>(label.members.size()) - 1);
    found.push_back(find_directions(images, label, std::max<int64_t>(kept, 0)));
  }
  model.components = count_components(found, labels, rule);
  for (size_t i = 0; i < labels.size(); ++i)
    append_gaussian(labels[i], found[i], model.components, images.count(), model);
  return std::make_unique<ImagePcaModel>(std::move(model), describe_image_fit(images, options));
}

std::unique_ptr<Model> load_image_pca(const ModelFile& file) {
  Json about = about_of(file, kImagePcaVersion);
  ImageGaussians model;
  model.shape = load_image_shape(file);
  if (model.shape.channels != 1 && model.shape.channels != 3)
    throw InputError("model file: images of neither 1 nor 3 channels");
  model.label_names = load_label_names(file);
  const int64_t levels = model.shape.size();
  const Tensor& factor = file.tensor("factor", {-1, levels, -1});
  model.labels = factor.shape[0], model.components = factor.shape[2];
  if (model.labels > INT32_MAX || model.components > levels)
    throw InputError("model file: tensor 'factor' is too large");
  model.factor = factor.to<float>();
  model.mean = file.tensor("mean", {model.labels, levels}).to<float>();
  model.residual = file.tensor("residual", {model.labels, levels}).to<float>();
  model.eigenvalues = file.tensor("eigenvalues", {model.labels, model.components}).to<double>();
  model.variance = file.tensor("variance", {model.labels}).to<double>();
  model.shares = file.tensor("shares", {model.labels}).to<double>();
  check_gaussians(model);
  return std::make_unique<ImagePcaModel>(std::move(model), std::move(about));
}

}  // namespace doppel
