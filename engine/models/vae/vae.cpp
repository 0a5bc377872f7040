#include "engine/models/vae/vae.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "engine/models/alias_table.h"
#include "engine/models/count_option.h"
#include "engine/models/fit_report.h"
#include "engine/models/mixture/mixture_fitter.h"
#include "engine/models/mixture/mixture_recipe.h"
#include "engine/models/networks/latent_mixture.h"
#include "engine/models/score_axis.h"
#include "engine/models/vae/vae_calibration.h"
#include "engine/models/vae/vae_codes.h"
#include "engine/models/vae/vae_network.h"
#include "engine/models/vae/vae_trainer.h"
#include "engine/table_generator.h"
#include "kernels/common/error.h"
#include "kernels/decoder.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr int64_t kBlockRows = 8192;
constexpr int64_t kSampleRows = 1 << 18;  // at most, that are learned from
constexpr double kHeldOutShare = 0.1;
constexpr int64_t kHidden = 256, kHiddenOfFewRows = 128, kFewRows = 4096, kMostLatent = 16;
constexpr int64_t kMostLatentAsked = 256, kMostEpochsAsked = 100'000;
constexpr double kTrainingOperations = 1e12;  // multiply-adds
constexpr int64_t kMostSteps = 12'000;
constexpr double kPriorOperations = 2e10;
constexpr int64_t kLeastEncodings = 1 << 13, kMostDraws = 8;  // that the prior is fitted to; of a row

// ---- the model

class VaeModel : public Model {
 public:
  VaeModel(std::shared_ptr<const TableRecipe> recipe, TableDecoder decoder, std::vector<double> weight, Json about)
      : recipe_(std::move(recipe)),
        decoder_(std::make_shared<const TableDecoder>(std::move(decoder))),
        weight_(std::move(weight)),
        about_(std::move(about)) {}
  std::string kind() const override { return kVaeKind; }
  const TableSchema& schema() const override { return recipe_->schema; }
  ModelFile save() const override {
    ModelFile file;
    file.metadata = about_;
    file.metadata["kind"] = kVaeKind;
    file.metadata["version"] = kVersion;
    save_table_recipe(*recipe_, file);
    const TableSampler& prior = decoder_->prior;
    file.tensors["prior.weight"] = Tensor::from(weight_, {prior.members});
    file.tensors["prior.mean"] = Tensor::from(prior.mean, {prior.members, prior.latents});
    file.tensors["prior.factor"] = Tensor::from(prior.factor, {prior.members, prior.latents, prior.components});
    for (size_t i = 0; i < decoder_->layers.size(); ++i) {
      const DenseWeights& layer = decoder_->layers[i];
      const std::string name = "decoder." + std::to_string(i);
      file.tensors[name + ".weight"] = Tensor::from(layer.weight, {layer.outputs, layer.inputs});
      file.tensors[name + ".bias"] = Tensor::from(layer.bias, {layer.outputs});
    }
    file.tensors["decoder.bins"] = Tensor::from(decoder_->bins, {static_cast<int64_t>(decoder_->bins.size())});
    return file;
  }
  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return make_table_generator(recipe_, seed,
                                [decoder = decoder_, &backend] { return backend.prepare_table_decoder(*decoder); });
  }
  Json describe() const override { return about_; }

 private:
  std::shared_ptr<const TableRecipe> recipe_;
  std::shared_ptr<const TableDecoder> decoder_;
  std::vector<double> weight_;  // of the prior's members
  Json about_;
};

// ---- options

std::optional<int64_t> parse_epochs(const FitOptions& options) {
  return parse_count_option("--epochs", options.epochs, kMostEpochsAsked);
}
std::optional<int64_t> parse_latent(const FitOptions& options) {
  return parse_count_option("--latent", options.latent, kMostLatentAsked);
}

VaeSchedule make_schedule(const VaeShape& shape, int64_t rows, const FitOptions& options) {
  VaeSchedule schedule;
  constexpr int64_t kLeastBatch = 32, kMostBatch = 256, kBatches = 64;
  schedule.batch_rows = std::clamp(rows / kBatches, kLeastBatch, kMostBatch);
  const int64_t batches = (rows + schedule.batch_rows - 1) / schedule.batch_rows;
  const double operations = static_cast<double>(rows) * VaeNetwork<float>::operations_per_row(shape);
  const auto affordable = static_cast<int64_t>(kTrainingOperations / std::max(operations, 1.0));
  schedule.epochs = parse_epochs(options).value_or(
      std::max<int64_t>(1, std::min(affordable, kMostSteps / std::max<int64_t>(batches, 1))));
  return schedule;
}

// ---- from the network to the decoder

DenseWeights weights_of(const Dense<float>& layer) {
  return {static_cast<int32_t>(layer.inputs()), static_cast<int32_t>(layer.outputs()), layer.weight.value,
          layer.bias.value};
}

// One member whose variables have the shares of the table.
void add_variables(const CodeSpace& codes, const std::vector<std::vector<double>>& shares, TableSampler& sampler) {
  sampler.latents = static_cast<int32_t>(codes.fields() - codes.space.variables.size());
  sampler.mean.assign(static_cast<size_t>(sampler.latents), 0);
  sampler.residual.assign(static_cast<size_t>(sampler.latents), 0);
  append_alias(std::vector<Outcome>{{0, 1}}, sampler.member);
  for (size_t v = 0; v < codes.space.variables.size(); ++v) {
    Emission& emission = sampler.emissions.emplace_back();
    emission.states = codes.codes[v];
    emission.above = {-1};
    std::vector<Outcome> outcomes;
    for (int32_t s = 0; s < emission.states; ++s) outcomes.push_back({s, shares[v][static_cast<size_t>(s)]});
    append_alias(outcomes, emission.table);
    emission.first = {0, static_cast<int64_t>(emission.table.threshold.size())};
  }
}

TableDecoder make_decoder(VaeNetwork<float>& network, const CodeSpace& codes, const MixtureParameters& prior,
                          const TableSampler& table) {
  TableDecoder decoder;
  add_members(prior, decoder.prior);
  decoder.layers = {weights_of(network.decoder_in()), weights_of(network.decoder_hidden()),
                    weights_of(network.decoder_out())};
  decoder.bins.assign(codes.codes.begin() + static_cast<int64_t>(codes.space.variables.size()), codes.codes.end());
  decoder.table = table;
  return decoder;
}

// ---- fitting

int64_t bytes_per_row(const MixtureSpace& space) {
  // Twice: as rows of patterns and as codes. Encodings are less.
  return static_cast<int64_t>(2 * sizeof(int32_t) * (space.variables.size() + space.axes.size() + 1));
}

// A mixture of Gaussians of the encodings.
std::shared_ptr<const MixtureParameters> fit_prior(VaeNetwork<float>& network, const VaeShape& shape,
                                                   const CodedRows& training, const CodedRows& held_out, size_t columns,
                                                   const FitOptions& options, const Backend& backend) {
  const int64_t draws = std::clamp<int64_t>(kLeastEncodings / std::max<int64_t>(training.rows, 1), 1, kMostDraws);
  return fit_latent_mixture(draw_encodings(network, shape, training, draws, options.seed),
                            draw_encodings(network, shape, held_out, draws, options.seed + 1), shape.latent, columns,
                            kPriorOperations, options, backend)
      .parameters;
}

std::vector<VaeEpoch> train_network(VaeNetwork<float>& network, const CodedRows& training, const CodedRows& held_out,
                                    const VaeSchedule& schedule, const FitOptions& options, const Backend& backend) {
  const auto progress = [&](double share, const VaeEpoch& epoch) {
    if (!options.progress) return;
    char stage[80];
    std::snprintf(stage, sizeof stage, "training, %.3f nats a row held out",
                  epoch.held_out.reconstruction + epoch.held_out.divergence);
    options.progress(stage, share);
  };
  return train(network, training, held_out, schedule, options.seed, progress, backend);
}

Json describe_vae(const TableProfile& profile, const FitOptions& options, const VaeShape& shape,
                  const std::vector<VaeEpoch>& epochs, const MixtureParameters& prior) {
  Json json = describe_fit(profile, options);
  json["provenance"]["epochs"] = options.epochs;
  json["provenance"]["latent"] = options.latent;
  json["latent"] = shape.latent;
  json["hidden"] = shape.hidden;
  json["prior_members"] = prior.members;
  Json& history = json["epochs"] = Json::array();
  for (const VaeEpoch& epoch : epochs)
    history.push_back({{"training_nats_per_row", epoch.training.reconstruction + epoch.training.divergence},
                       {"held_out_nats_per_row", epoch.held_out.reconstruction + epoch.held_out.divergence},
                       {"held_out_divergence_nats_per_row", epoch.held_out.divergence}});
  return json;
}

}  // namespace

void check_vae_options(const FitOptions& options) {
  parse_epochs(options);
  parse_latent(options);
  if (options.components != "auto" || options.space != "scores")
    throw UsageError("--components and --space are of --model pca: a VAE has --latent");
  if (options.members != "auto") throw UsageError("--members are of --model mixture: a VAE chooses those of its prior");
}

std::unique_ptr<Model> fit_vae(TableSource& source, const TableProfile& profile, const FitOptions& options,
                               const Backend& backend) {
  std::string stage = "joining variables";
  RowBlocks blocks(source, profile, kBlockRows, options.memory_bytes / 8, backend, [&](double share) {
    if (options.progress) options.progress(stage, share);
  });
  const MixtureSpace space = make_mixture_space(profile, blocks);
  const int64_t most_rows = std::clamp(options.memory_bytes / 4 / bytes_per_row(space), kBlockRows, kSampleRows);
  stage = "reading rows";
  const RowSample sample = take_sample(space, blocks, profile.rows, most_rows, kHeldOutShare, options.seed);
  const CodeSpace codes(space, count_rows(sample.training));
  const CodedRows training = encode_rows(codes, sample.training), held_out = encode_rows(codes, sample.held_out);

  VaeShape shape{codes.codes, training.rows < kFewRows ? kHiddenOfFewRows : kHidden, 0};
  shape.latent = parse_latent(options).value_or(std::clamp<int64_t>(shape.fields(), 2, kMostLatent));
  VaeNetwork<float> network(shape, options.seed);
  const VaeSchedule schedule = make_schedule(shape, training.rows, options);
  const std::vector<VaeEpoch> epochs = train_network(network, training, held_out, schedule, options, backend);
  const auto prior = fit_prior(network, shape, training, held_out, profile.columns.size(), options, backend);

  const std::vector<std::vector<double>> shares = code_shares(codes, {&training, &held_out});
  TableRecipe recipe = start_recipe(profile);
  add_variables(codes, shares, recipe.sampler);
  add_columns(
      profile, space, [&](size_t axis, double score) { return codes.bins[axis].place_of(normal_cdf(score)); }, recipe);
  if (options.progress) options.progress("calibrating", 0);
  TableDecoder decoder = make_decoder(network, codes, *prior, recipe.sampler);
  recipe.sampler.balanced = decoder.prior.balanced;  // the file keeps it with the columns
  calibrate(network, codes, decoder, shares, training.rows, options.seed, backend);
  decoder.layers.back() = weights_of(network.decoder_out());
  check_table_recipe(recipe);
  check_table_decoder(decoder);
  return std::make_unique<VaeModel>(std::make_shared<const TableRecipe>(std::move(recipe)), std::move(decoder),
                                    prior->weight, describe_vae(profile, options, shape, epochs, *prior));
}

std::unique_ptr<Model> load_vae(const ModelFile& file) {
  Json about = about_of(file, kVersion);
  auto recipe = std::make_shared<TableRecipe>(load_table_recipe(file));
  TableDecoder decoder;
  TableSampler& prior = decoder.prior;
  const std::vector<int64_t> shape = file.tensor("prior.factor", {-1, -1, -1}).shape;
  constexpr int64_t kMost = 1 << 20;
  if (*std::max_element(shape.begin(), shape.end()) > kMost) throw InputError("model file: its prior is too large");
  prior.members = static_cast<int32_t>(shape[0]);
  prior.latents = static_cast<int32_t>(shape[1]);
  prior.components = static_cast<int32_t>(shape[2]);
  prior.factor = file.tensor("prior.factor", shape).to<float>();
  prior.mean = file.tensor("prior.mean", {shape[0], shape[1]}).to<float>();
  prior.residual.assign(prior.mean.size(), 0);
  prior.balanced = recipe->sampler.balanced;
  const auto weight = file.tensor("prior.weight", {shape[0]}).to<double>();
  std::vector<Outcome> outcomes;
  for (const double w : weight) {
    if (!(w > 0 && w <= 1)) throw InputError("model file: a weight of its prior is not in (0, 1]");
    outcomes.push_back({static_cast<int32_t>(outcomes.size()), w});
  }
  if (outcomes.empty()) throw InputError("model file: a prior without members");
  append_alias(outcomes, prior.member);
  for (int64_t i = 0; file.tensors.contains("decoder." + std::to_string(i) + ".weight"); ++i) {
    const std::string name = "decoder." + std::to_string(i);
    const Tensor& matrix = file.tensor(name + ".weight", {-1, -1});
    if (std::max(matrix.shape[0], matrix.shape[1]) > kMost) throw InputError("model file: a layer is too large");
    decoder.layers.push_back({static_cast<int32_t>(matrix.shape[1]), static_cast<int32_t>(matrix.shape[0]),
                              matrix.to<float>(), file.tensor(name + ".bias", {matrix.shape[0]}).to<float>()});
  }
  decoder.bins = file.tensor("decoder.bins", {-1}).to<int32_t>();
  decoder.table = recipe->sampler;
  try {
    check_table_decoder(decoder);
  } catch (const Error& error) {
    throw InputError(std::string("model file: ") + error.what());
  }
  return std::make_unique<VaeModel>(std::move(recipe), std::move(decoder), weight, std::move(about));
}

}  // namespace doppel
