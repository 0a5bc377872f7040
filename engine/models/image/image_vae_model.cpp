#include "engine/models/image/image_vae_model.h"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>

#include "engine/image/image_schema.h"
#include "engine/image/label_choice.h"
#include "engine/models/count_option.h"
#include "engine/models/image/image_metadata.h"
#include "engine/models/image/image_vae.h"
#include "engine/models/image/image_vae_coder.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostEpochs = 40, kMostEpochsAsked = 100'000, kMostLatentAsked = 1024;
constexpr double kTrainingOperations = 2e13;  // multiply-adds
constexpr double kMostTemperature = 2;

std::optional<int64_t> parse_epochs(const FitOptions& options) {
  return parse_count_option("--epochs", options.epochs, kMostEpochsAsked);
}
std::optional<int64_t> parse_latent(const FitOptions& options) {
  return parse_count_option("--latent", options.latent, kMostLatentAsked);
}

LatentPrior parse_prior(const FitOptions& options) {
  if (options.prior == "auto") return LatentPrior::kAuto;
  if (options.prior == "normal") return LatentPrior::kNormal;
  if (options.prior == "mixture") return LatentPrior::kMixture;
  throw UsageError("--prior '" + options.prior + "' is none of auto, normal, mixture");
}
// None for "auto".
std::optional<int64_t> parse_texture(const FitOptions& options) {
  if (options.texture == "none") return 0;
  return parse_count_option("--texture", options.texture, kMostTextureWeights);
}
int64_t texture_directions(const Images& images, int32_t classes, const FitOptions& options) {
  const int64_t levels = images.shape.size(), weights = std::max(classes, 1) * levels;  // of a direction
  const int64_t asked =
      parse_texture(options).value_or(std::clamp<int64_t>(kMostAutoTextureWeights / weights, 1, kAutoTexture));
  if (asked > kMostTextureWeights / weights)
    throw UsageError("--texture " + options.texture + ": of these images and labels at most " +
                     std::to_string(kMostTextureWeights / weights));
  return std::min(asked, levels);
}
PixelLikelihood parse_likelihood(const FitOptions& options) {
  if (options.likelihood == "auto" || options.likelihood == "bernoulli") return PixelLikelihood::kBernoulli;
  if (options.likelihood == "logistic") return PixelLikelihood::kLogistic;
  throw UsageError("--likelihood '" + options.likelihood + "' is none of auto, bernoulli, logistic");
}

class ImageVaeRows : public RowSampler {
 public:
  ImageVaeRows(const OutputSchema& schema, uint64_t seed, std::unique_ptr<PreparedImageSampler> sampler)
      : size_(schema.image.size()), has_labels_(!schema.columns.empty()), seed_(seed), sampler_(std::move(sampler)) {}
  Batch make_batch(const OutputSchema& schema, int64_t capacity) const override {
    return Batch(schema, capacity, [this](size_t bytes) { return sampler_->allocate(bytes); });
  }
  size_t preferred_bytes() const override {
    return static_cast<size_t>(sampler_->preferred_rows()) *
           (static_cast<size_t>(size_) + (has_labels_ ? sizeof(int32_t) : 0));
  }
  void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
    sampler_->sample(seed_, first_row, rows, batch.images(),
                     has_labels_ ? static_cast<int32_t*>(batch.buffer(0).values) : nullptr);
    batch.seed = seed_;
    batch.first_row = first_row;
    batch.rows = rows;
  }

 private:
  int64_t size_;
  bool has_labels_;
  uint64_t seed_;
  std::unique_ptr<PreparedImageSampler> sampler_;
};

// The backend outlives it.
class ImageVaeGenerator : public Generator {
 public:
  ImageVaeGenerator(std::shared_ptr<const ImageVae> vae, const AskedImages& asked, uint64_t seed,
                    const Backend& backend)
      : schema_(make_image_schema(vae->shape().image, vae->label_names())),
        vae_(std::move(vae)),
        sampler_(vae_->image_sampler(choose_labels(asked.labels, vae_->label_names(), vae_->label_shares()),
                                     asked.temperature, asked.precision)),
        seed_(seed),
        backend_(backend) {
    make_sampler();  // throws what it throws now
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override {
    return std::make_unique<ImageVaeRows>(schema_, seed_, backend_.prepare_image_sampler(sampler_));
  }
  // The decoder's weights, twice: as they are and as products want them; and what its layers and the texture give for a
  // block.
  int64_t sampler_bytes(int64_t) const override {
    const ImageVaeShape& shape = vae_->shape();
    int64_t weights = shape.hidden * (shape.latent + shape.hidden + shape.reduced().size());
    int64_t values = 2 * shape.hidden + shape.reduced().size() + shape.image.size() * shape.heads();
    for (const ConvShape& block : shape.blocks()) {
      weights += block.weights();
      values += block.input_size();
    }
    if (const ImageTexture* texture = vae_->texture()) values += 2 * texture->levels + 2 * texture->directions;
    return static_cast<int64_t>(sizeof(float)) * (2 * weights + kImageBlockRows * values);
  }

 private:
  OutputSchema schema_;
  std::shared_ptr<const ImageVae> vae_;
  ImageSampler sampler_;
  uint64_t seed_;
  const Backend& backend_;
};

class ImageVaeModel : public Model {
 public:
  explicit ImageVaeModel(ImageVae vae) : vae_(std::make_shared<const ImageVae>(std::move(vae))) {
    for (const OutputColumn& column : make_image_schema(vae_->shape().image, vae_->label_names()).columns)
      schema_.columns.push_back(column.schema);
  }
  std::string kind() const override { return kImageVaeKind; }
  const TableSchema& schema() const override { return schema_; }
  ModelFile save() const override { return vae_->save(); }
  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return make_generator_of({}, seed, backend);
  }
  std::shared_ptr<const Generator> make_generator_of(const AskedImages& asked, uint64_t seed,
                                                     const Backend& backend) const override {
    if (!(asked.temperature > 0 && asked.temperature <= kMostTemperature))
      throw UsageError("--temperature is above 0 and at most 2: 1 is as learned, less is nearer to the usual");
    return std::make_shared<ImageVaeGenerator>(vae_, asked, seed, backend);
  }
  ConditionedRows make_generator_where(const std::string&, uint64_t, const Backend&) const override {
    throw UsageError("--where: rows of this model are images: --label says of which label");
  }
  std::shared_ptr<const Coder> coder(const Backend& backend) const override {
    return make_image_vae_coder(vae_, backend);
  }
  Json describe() const override { return vae_->describe(); }

 private:
  std::shared_ptr<const ImageVae> vae_;
  TableSchema schema_;
};

std::unique_ptr<Model> fit(const Images& images, bool is_convolutional, const FitOptions& options,
                           const Backend& backend) {
  ImageVaeOptions how;
  how.is_convolutional = is_convolutional;
  how.seed = options.seed;
  how.latent = parse_latent(options).value_or(how.latent);
  how.prior = parse_prior(options);
  how.likelihood = parse_likelihood(options);
  how.progress = options.progress;
  how.keeper = options.keeper;
  const auto classes = static_cast<int32_t>(label_names_of(images).size());
  how.texture = texture_directions(images, classes, options);
  const ImageVaeShape shape{images.shape, classes,      is_convolutional, how.latent,
                            how.hidden,   how.channels, how.likelihood};
  const double of_epoch = static_cast<double>(images.count()) * ImageVaeNetwork<float>::operations_per_row(shape);
  const auto affordable = static_cast<int64_t>(std::min(kTrainingOperations / std::max(of_epoch, 1.0), 1e9));
  how.schedule.epochs = parse_epochs(options).value_or(std::clamp<int64_t>(affordable, 1, kMostEpochs));
  return std::make_unique<ImageVaeModel>(ImageVae::fit(images, how, backend));
}

}  // namespace

void check_image_vae_options(const FitOptions& options) {
  parse_epochs(options);
  parse_latent(options);
  parse_prior(options);
  parse_texture(options);
  parse_likelihood(options);
  if (options.components != "auto" || options.members != "auto" || options.space != "scores")
    throw UsageError("--components, --members and --space are not of --model vae: a VAE has --latent and --epochs");
  if (!options.target.empty() || !options.constraints.empty())
    throw UsageError("--target and --constraint are of tables, and the data are images");
}

std::unique_ptr<Model> fit_image_vae(const Images& images, const FitOptions& options, const Backend& backend) {
  return fit(images, true, options, backend);
}
std::unique_ptr<Model> fit_dense_image_vae(const Images& images, const FitOptions& options, const Backend& backend) {
  return fit(images, false, options, backend);
}

std::unique_ptr<Model> load_image_vae(const ModelFile& file) {
  return std::make_unique<ImageVaeModel>(ImageVae::load(file));
}

}  // namespace doppel
