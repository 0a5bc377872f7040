#include "engine/models/image/image_vae.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "engine/models/image/image_metadata.h"
#include "engine/models/networks/latent_mixture.h"
#include "engine/models/triangular.h"
#include "engine/nn/likelihoods.h"
#include "kernels/common/error.h"
#include "kernels/cpu/image_sampler.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kImageVaeVersion = 1;
constexpr double kPriorOperations = 1e10;                     // multiply-adds, a class
constexpr int64_t kLeastEncodings = 1 << 12, kMostDraws = 8;  // of a class; of an image
constexpr int64_t kMostLatent = 1024, kMostMembersOfFile = int64_t{1} << 20;
constexpr const char* kLikelihoods[] = {"bernoulli", "logistic"};

int64_t class_count(const ImageVaeShape& shape) {
  return std::max(shape.classes, 1);
}

// ---- the prior

// Adds a class whose latents are N(0, I).
void add_normal(LatentMembers& members) {
  const auto n = static_cast<size_t>(members.latent);
  members.weight.push_back(1);
  members.mean.insert(members.mean.end(), n, 0.0f);
  members.factor.insert(members.factor.end(), n * n, 0.0f);
  for (size_t i = 0; i < n; ++i) members.factor[members.factor.size() - n * n + i * (n + 1)] = 1;
  members.first.push_back(static_cast<int64_t>(members.weight.size()));
}

void add_mixture(const MixtureParameters& mixture, LatentMembers& members) {
  const auto n = static_cast<size_t>(members.latent), size = n * n;
  for (size_t m = 0; m < static_cast<size_t>(mixture.members); ++m) {
    const auto covariance = mixture.covariance.begin() + static_cast<int64_t>(m * size);
    std::vector<double> factor(covariance, covariance + static_cast<int64_t>(size));
    if (!factorise(factor, n)) throw Error("a covariance of encodings is not positive definite");
    members.weight.push_back(mixture.weight[m]);
    for (const double value : factor) members.factor.push_back(static_cast<float>(value));
    for (size_t i = 0; i < n; ++i) members.mean.push_back(static_cast<float>(mixture.mean[m * n + i]));
  }
  members.first.push_back(static_cast<int64_t>(members.weight.size()));
}

LatentMembers start_members(int64_t latent) {
  LatentMembers members;
  members.latent = latent;
  members.first = {0};
  return members;
}

std::vector<int64_t> of_class(const Images& images, const std::vector<int64_t>& which, int32_t label) {
  std::vector<int64_t> some;
  for (const int64_t image : which)
    if (images.labels.empty() || images.labels[static_cast<size_t>(image)] == label) some.push_back(image);
  return some;
}

struct FittedPrior {
  LatentMembers normal, mixture;
  double normal_density = 0, mixture_density = 0;  // sums over encodings held out
};

FittedPrior fit_prior(TrainedVae& network, const Images& images, const ImageSplit& split,
                      const ImageVaeOptions& options, const Backend& backend) {
  const int64_t latent = network.shape().latent;
  FittedPrior prior{start_members(latent), start_members(latent)};
  FitOptions fit;
  fit.seed = options.seed;
  const int64_t classes = class_count(network.shape());
  for (int32_t label = 0; label < classes; ++label) {
    if (options.progress)
      options.progress("fitting the prior", static_cast<double>(label) / static_cast<double>(classes));
    add_normal(prior.normal);
    const std::vector<int64_t> training = of_class(images, split.training, label);
    const std::vector<int64_t> held_out = of_class(images, split.held_out, label);
    if (training.empty()) {
      add_normal(prior.mixture);  // never drawn from
      continue;
    }
    const int64_t draws = std::clamp<int64_t>(kLeastEncodings / static_cast<int64_t>(training.size()), 1, kMostDraws);
    auto of_training = draw_latents(encode_images(network, images, training), latent, draws, options.seed);
    auto of_held_out = draw_latents(encode_images(network, images, held_out), latent, draws, options.seed + 1);
    const auto rows = static_cast<double>(held_out.size());
    const double normal = rows > 0 ? log_density_of_normal(of_held_out, latent) : 0;
    const LatentMixture mixture = fit_latent_mixture(std::move(of_training), std::move(of_held_out), latent,
                                                     static_cast<size_t>(latent), kPriorOperations, fit, backend);
    add_mixture(*mixture.parameters, prior.mixture);
    prior.normal_density += rows * normal;
    prior.mixture_density += rows * mixture.held_out.value_or(0);
  }
  return prior;
}

// ---- the file

Json describe_fit(const ImageVaeOptions& options, const Images& images, const std::vector<VaeEpoch>& epochs) {
  Json about;
  about["rows"] = images.count();
  about["provenance"] = {
      {"seed", options.seed},          {"epochs", options.schedule.epochs}, {"batch_rows", options.schedule.batch_rows},
      {"rate", options.schedule.rate}, {"held_out", options.held_out},      {"doppel", DOPPEL_VERSION}};
  Json& history = about["history"] = Json::array();
  for (const VaeEpoch& epoch : epochs)
    history.push_back({{"training_nats_per_image", epoch.training.total()},
                       {"training_divergence_nats_per_image", epoch.training.divergence},
                       {"held_out_nats_per_image", epoch.held_out.total()},
                       {"held_out_divergence_nats_per_image", epoch.held_out.divergence}});
  return about;
}

void save_members(const LatentMembers& members, ModelFile& file) {
  const auto count = static_cast<int64_t>(members.weight.size());
  std::vector<int32_t> of_class(members.weight.size());
  for (size_t c = 0; c + 1 < members.first.size(); ++c)
    std::fill(of_class.begin() + members.first[c], of_class.begin() + members.first[c + 1], static_cast<int32_t>(c));
  file.tensors["prior.class"] = Tensor::from(of_class, {count});
  file.tensors["prior.weight"] = Tensor::from(members.weight, {count});
  file.tensors["prior.mean"] = Tensor::from(members.mean, {count, members.latent});
  file.tensors["prior.factor"] = Tensor::from(members.factor, {count, members.latent, members.latent});
}

LatentMembers load_members(const ModelFile& file, int64_t latent, int64_t classes) {
  LatentMembers members = start_members(latent);
  const int64_t count = file.tensor("prior.class", {-1}).shape[0];
  if (count < 1 || count > kMostMembersOfFile) throw InputError("model file: its prior has no or too many members");
  const auto of_class = file.tensor("prior.class", {count}).to<int32_t>();
  members.weight = file.tensor("prior.weight", {count}).to<double>();
  members.mean = finite_values(file, "prior.mean", {count, latent});
  members.factor = finite_values(file, "prior.factor", {count, latent, latent});
  for (const double weight : members.weight)
    if (!(weight >= 0 && weight <= 1.0000001)) throw InputError("model file: a weight of its prior is not in [0, 1]");
  if (!std::is_sorted(of_class.begin(), of_class.end()) || of_class.front() != 0 || of_class.back() != classes - 1)
    throw InputError("model file: 'prior.class' does not name the classes in their order");
  for (int64_t c = 0; c < classes; ++c) {
    members.first.push_back(std::upper_bound(of_class.begin(), of_class.end(), c) - of_class.begin());
    if (members.first.back() == members.first[static_cast<size_t>(c)])
      throw InputError("model file: a class of its prior has no member");
  }
  return members;
}

ImageVaeShape load_shape(const ModelFile& file, size_t classes) {
  const Json network = file.metadata.value("network", Json());
  ImageVaeShape shape;
  shape.image = load_image_shape(file);
  shape.classes = static_cast<int32_t>(classes);
  shape.latent = load_extent(network, "latent", kMostLatent);
  shape.hidden = load_extent(network, "hidden", kMostLayerWidth);
  shape.channels = load_extent(network, "channels", kMostLayerWidth);
  const Json convolutional = network.value("convolutional", Json()), likelihood = network.value("likelihood", Json());
  if (!convolutional.is_boolean()) throw InputError("model file: 'convolutional' is not true or false");
  shape.is_convolutional = convolutional.get<bool>();
  const auto* known = std::find(std::begin(kLikelihoods), std::end(kLikelihoods), likelihood);
  if (known == std::end(kLikelihoods)) throw InputError("model file: an unknown 'likelihood'");
  shape.likelihood = static_cast<PixelLikelihood>(known - std::begin(kLikelihoods));
  return shape;
}

std::vector<double> load_shares(const ModelFile& file, size_t classes) {
  const Json shares = file.metadata.value("label_shares", Json());
  if (!shares.is_array() || shares.size() != classes ||
      !std::all_of(shares.begin(), shares.end(), [](const Json& s) { return s.is_number() && s.get<double>() >= 0; }))
    throw InputError("model file: 'label_shares' is not a share a label");
  return shares.get<std::vector<double>>();
}

void load_label_weight(const ModelFile& file, const std::string& name, Parameter<float>* weight,
                       const ImageVaeShape& shape) {
  if (weight) weight->value = finite_values(file, name, {shape.classes, shape.hidden});
}

}  // namespace

// ---- the model

ImageVae ImageVae::fit(const Images& images, const ImageVaeOptions& options, const Backend& backend) {
  std::vector<std::string> names = label_names_of(images);
  if (images.count() == 0) throw InputError("there are no images to learn from");
  const ImageVaeShape shape{images.shape,
                            static_cast<int32_t>(names.size()),
                            options.is_convolutional,
                            options.latent,
                            options.hidden,
                            options.channels,
                            options.likelihood};
  ImageVae vae(shape, std::move(names), options.seed);
  vae.label_shares_.assign(vae.label_names_.size(), 0);
  for (const int32_t label : images.labels)
    vae.label_shares_[static_cast<size_t>(label)] += 1 / static_cast<double>(images.count());
  const ImageSplit split = split_images(images.count(), options.held_out, options.seed);
  vae.epochs_ = train(
      vae.network_, images, split, options.schedule, options.seed, options.keeper,
      [&](double share, const VaeEpoch& epoch) {
        if (!options.progress) return;
        char stage[96];
        std::snprintf(stage, sizeof stage, "training, %.2f nats an image learned, %.2f held out",
                      epoch.training.total(), epoch.held_out.total());
        options.progress(stage, share);
      },
      backend);
  TrainedVae trained = vae.trained(kEncodedRows, backend);
  FittedPrior prior = fit_prior(trained, images, split, options, backend);
  vae.has_mixture_ = options.prior == LatentPrior::kMixture ||
                     (options.prior == LatentPrior::kAuto && prior.mixture_density >= prior.normal_density);
  vae.members_ = std::move(vae.has_mixture_ ? prior.mixture : prior.normal);
  if (options.texture > 0)
    vae.texture_ = std::make_shared<const ImageTexture>(
        fit_texture(trained, images, split.training, options.texture, options.seed, [&](double share) {
          if (options.progress) options.progress("fitting the texture", share);
        }));
  vae.about_ = describe_fit(options, images, vae.epochs_);
  if (!split.held_out.empty()) {
    const auto rows = static_cast<double>(split.held_out.size());
    vae.about_["held_out_encodings_nats"] = {{"normal", -prior.normal_density / rows},
                                             {"mixture", -prior.mixture_density / rows}};
  }
  return vae;
}

nlohmann::json ImageVae::describe() const {
  Json about = about_;
  save_image_metadata(shape().image, label_names_, about);
  about["network"] = {{"convolutional", shape().is_convolutional},
                      {"latent", shape().latent},
                      {"hidden", shape().hidden},
                      {"channels", shape().channels},
                      {"likelihood", kLikelihoods[static_cast<size_t>(shape().likelihood)]}};
  about["prior"] = has_mixture_ ? "mixture" : "normal";
  about["prior_members"] = members_.weight.size();
  about["texture_directions"] = texture_ ? texture_->directions : 0;
  return about;
}

ModelFile ImageVae::save() const {
  ModelFile file;
  file.metadata = describe();
  file.metadata["kind"] = kImageVaeKind;
  file.metadata["version"] = kImageVaeVersion;
  file.metadata["label_shares"] = label_shares_;
  if (has_encoder_) save_layers(network_.encoder_layers(), "encoder", file);
  save_layers(network_.decoder().layers(), "decoder", file);
  if (shape().classes > 0) {
    const std::vector<int64_t> extents = {shape().classes, shape().hidden};
    if (has_encoder_) file.tensors["encoder.label"] = Tensor::from(network_.label_weight()->value, extents);
    file.tensors["decoder.label"] = Tensor::from(network_.decoder().label_weight()->value, extents);
  }
  if (has_mixture_) save_members(members_, file);
  if (texture_) save_texture(*texture_, file);
  return file;
}

ImageVae ImageVae::load(const ModelFile& file) {
  check_image_model_file(file, kImageVaeKind, kImageVaeVersion);
  std::vector<std::string> names = load_label_names(file);
  const ImageVaeShape shape = load_shape(file, names.size());
  ImageVae vae(shape, std::move(names), 0);
  vae.label_shares_ = load_shares(file, vae.label_names_.size());
  vae.has_encoder_ = file.metadata.contains("encoder");
  if (vae.has_encoder_) load_layers(file, "encoder", vae.network_.encoder_layers());
  load_layers(file, "decoder", vae.network_.decoder().layers());
  if (vae.has_encoder_) load_label_weight(file, "encoder.label", vae.network_.label_weight(), shape);
  load_label_weight(file, "decoder.label", vae.network_.decoder().label_weight(), shape);
  const Json prior = file.metadata.value("prior", Json());
  if (prior != "mixture" && prior != "normal") throw InputError("model file: 'prior' is not 'normal' or 'mixture'");
  vae.has_mixture_ = prior == "mixture";
  vae.members_ = start_members(shape.latent);
  if (vae.has_mixture_)
    vae.members_ = load_members(file, shape.latent, class_count(shape));
  else
    for (int64_t c = 0; c < class_count(shape); ++c) add_normal(vae.members_);
  vae.texture_ = load_texture(file, class_count(shape), shape.image.size());
  vae.about_ = file.metadata;
  return vae;
}

int64_t ImageVae::working_bytes() const {
  constexpr int64_t kWithGradients = 2;
  int64_t weights = 0;
  for (const Parameter<float>* parameter : network_.parameters())
    weights += static_cast<int64_t>(parameter->value.size());
  int64_t values = 4 * shape().hidden + 2 * shape().reduced().size() + shape().image.size() * (1 + shape().heads());
  for (const ConvShape& block : shape().blocks()) values += 2 * block.input_size();
  return static_cast<int64_t>(sizeof(float)) * (kWithGradients * weights + kImageBlockRows * values);
}

void ImageVae::require_encoder() const {
  if (!has_encoder_)
    throw UsageError("the model was imported without an encoder: it makes images and decodes codes, and encodes none");
}

VaeLoss ImageVae::loss(const Images& images, uint64_t seed) {
  require_encoder();
  check_image_shape(images, shape().image);
  std::vector<int64_t> all(static_cast<size_t>(images.count()));
  std::iota(all.begin(), all.end(), int64_t{0});
  return measure_loss(network_, images, all, seed);
}

std::vector<float> ImageVae::encode(const Images& images) {
  require_encoder();
  check_image_shape(images, shape().image);
  std::vector<int64_t> all(static_cast<size_t>(images.count()));
  std::iota(all.begin(), all.end(), int64_t{0});
  TrainedVae network = trained(kEncodedRows, *make_backend("cpu"));
  const std::vector<float> encodings = encode_images(network, images, all);
  std::vector<float> means;
  for (int64_t row = 0; row < images.count(); ++row) {
    const auto first = encodings.begin() + row * 2 * shape().latent;
    means.insert(means.end(), first, first + shape().latent);
  }
  return means;
}

Images ImageVae::decode(const std::vector<float>& latents, const std::vector<int32_t>& labels) {
  const auto rows = static_cast<int64_t>(latents.size()) / shape().latent;
  Images images;
  images.shape = shape().image;
  images.labels = labels;
  images.label_names = label_names_;
  images.pixels.resize(static_cast<size_t>(rows * images.shape.size()));
  for (int64_t first = 0; first < rows; first += kImageBlockRows) {
    const int64_t some = std::min(kImageBlockRows, rows - first);
    const int32_t* of_rows = labels.empty() ? nullptr : labels.data() + first;
    const float* outputs = network_.decoder().forward(latents.data() + first * shape().latent, of_rows, some);
    levels_of_outputs(shape().likelihood, outputs, some * images.shape.size(),
                      images.pixels.data() + first * images.shape.size());
  }
  return images;
}

ImageSampler ImageVae::image_sampler(const std::vector<double>& label_weights, double temperature,
                                     Precision precision) const {
  for (size_t label = 0; label < label_names_.size(); ++label)
    if (label_weights.at(label) > 0 && label_shares_[label] == 0)
      throw UsageError("no image of the label '" + label_names_[label] + "' was learned from");
  ImageSampler sampler;
  sampler.label_weights = shape().classes > 0 ? label_weights : std::vector<double>{1};
  sampler.members = members_;
  sampler.temperature = temperature;
  sampler.decoder = trained_decoder(network_.decoder());
  sampler.likelihood = shape().likelihood;
  sampler.texture = texture_;
  sampler.precision = precision;
  return sampler;
}

}  // namespace doppel
