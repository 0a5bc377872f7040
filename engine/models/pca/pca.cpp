#include "engine/models/pca/pca.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string>

#include "engine/models/fit_report.h"
#include "engine/models/marginals.h"
#include "engine/models/pca/latent.h"
#include "engine/models/pca/latent_correlation.h"
#include "engine/models/pca/level_order.h"
#include "engine/models/pca/pca_coder.h"
#include "engine/models/score_axis.h"
#include "engine/table_generator.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr double kNoVariance = 1e-9;  // of a component or a residual: rounding
constexpr int64_t kMatrices = 16;     // of doubles, latents x latents, that fitting holds at once

// All that the file keeps beside the recipe.
struct PcaParameters {
  Json about;                       // metadata but for what the recipe writes
  std::vector<double> eigenvalues;  // [latents] descending
  std::vector<double> vectors;      // [latents, components] orthonormal columns
  int64_t components = 0;
};

class PcaModel : public Model {
 public:
  PcaModel(TableRecipe recipe, PcaParameters parameters)
      : recipe_(std::make_shared<const TableRecipe>(std::move(recipe))), parameters_(std::move(parameters)) {}

  std::string kind() const override { return kPcaKind; }
  const TableSchema& schema() const override { return recipe_->schema; }

  ModelFile save() const override {
    ModelFile file;
    file.metadata = parameters_.about;
    file.metadata["kind"] = kPcaKind;
    file.metadata["version"] = kVersion;
    save_table_recipe(*recipe_, file);
    const auto latents = static_cast<int64_t>(parameters_.eigenvalues.size());
    file.tensors["eigenvalues"] = Tensor::from(parameters_.eigenvalues, {latents});
    file.tensors["components"] = Tensor::from(parameters_.vectors, {latents, parameters_.components});
    return file;
  }

  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return make_table_generator(recipe_, seed, backend);
  }

  std::shared_ptr<const Coder> coder(const Backend& backend) const override {
    return make_pca_coder(recipe_, parameters_.vectors, parameters_.eigenvalues, parameters_.components, backend);
  }

  Json describe() const override {
    Json json = parameters_.about;
    const size_t latents = parameters_.eigenvalues.size();
    json["explained_variance"] = Json::array();
    json["loadings"] = Json::array();
    for (int64_t k = 0; k < parameters_.components; ++k) {
      const double eigenvalue = parameters_.eigenvalues[k];
      json["explained_variance"].push_back(eigenvalue / static_cast<double>(latents));
      Json loadings = Json::array();
      for (size_t j = 0; j < latents; ++j)
        loadings.push_back(parameters_.vectors[j * parameters_.components + k] * std::sqrt(std::max(eigenvalue, 0.0)));
      json["loadings"].push_back(std::move(loadings));
    }
    return json;
  }

 private:
  std::shared_ptr<const TableRecipe> recipe_;
  PcaParameters parameters_;
};

// --components as it was meant.
struct ComponentRule {
  enum class Kind : uint8_t { kAll, kAuto, kShare, kCount } kind;
  double number = 0;  // kShare: in (0, 1); kCount: whole, at least 1
};

ComponentRule parse_components(const std::string& text) {
  if (text == "all") return {ComponentRule::Kind::kAll};
  if (text == "auto") return {ComponentRule::Kind::kAuto};
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool is_number = error == std::errc() && end == text.data() + text.size();
  if (is_number && number > 0 && number < 1) return {ComponentRule::Kind::kShare, number};
  if (is_number && number >= 1 && number == std::floor(number)) return {ComponentRule::Kind::kCount, number};
  throw UsageError("--components '" + text + "': a count, a share of variance between 0 and 1, all or auto");
}

// How many of the components to keep, by --components.
int64_t count_components(const std::string& wanted, const std::vector<double>& eigenvalues) {
  const auto latents = static_cast<int64_t>(eigenvalues.size());
  const auto real =
      std::count_if(eigenvalues.begin(), eigenvalues.end(), [](double value) { return value > kNoVariance; });
  const auto explaining = [&](double share) {
    double sum = 0;
    int64_t count = 0;
    while (count < real && sum < share * static_cast<double>(latents)) sum += eigenvalues[count++];
    return count;
  };
  const ComponentRule rule = parse_components(wanted);
  switch (rule.kind) {
    case ComponentRule::Kind::kAll:
      return real;
    case ComponentRule::Kind::kAuto:
      return latents <= kAutoComponents ? real : std::min(explaining(kAutoShare), kAutoComponents);
    case ComponentRule::Kind::kShare:
      return explaining(rule.number);
    case ComponentRule::Kind::kCount:
      break;
  }
  if (rule.number > static_cast<double>(latents))
    throw UsageError("--components " + wanted + ": the table has " + std::to_string(latents) +
                     " latent dimensions; give fewer, or all");
  return std::min(static_cast<int64_t>(rule.number), static_cast<int64_t>(real));
}

Space parse_space(const std::string& text) {
  if (text == "scores") return Space::kScores;
  if (text == "standardised") return Space::kStandardised;
  throw UsageError("--space '" + text + "' is neither scores nor standardised");
}

void check_memory(size_t latents, int64_t memory_bytes) {
  const double needed =
      static_cast<double>(kMatrices) * sizeof(double) * static_cast<double>(latents) * static_cast<double>(latents);
  if (needed > static_cast<double>(memory_bytes))
    throw UsageError("the table has " + std::to_string(latents) + " latent dimensions, and correlating them takes " +
                     std::to_string(static_cast<int64_t>(std::ceil(needed / (1 << 20)))) +
                     " MiB: give --memory, or leave columns out");
}

Json describe_pca(const TableProfile& profile, const FitOptions& options, const std::vector<Latent>& latents) {
  Json json = describe_fit(profile, options);
  json["latents"] = Json::array();
  for (const Latent& latent : latents) {
    const std::string& name = profile.schema.columns[latent.column].name;
    json["latents"].push_back(latent.is_missingness ? name + " is missing" : name);
  }
  json["provenance"]["components"] = options.components;
  json["provenance"]["space"] = options.space;
  return json;
}

// Columns by their latents. A column without a value latent (a constant, or the gaps of a key) takes latent 0.
void add_columns(const TableProfile& profile, const std::vector<Latent>& latents, Space space, TableRecipe& recipe) {
  std::vector<int32_t> value_latent(profile.columns.size(), -1), gap_latent(profile.columns.size(), -1);
  for (size_t i = 0; i < latents.size(); ++i)
    (latents[i].is_missingness ? gap_latent : value_latent)[latents[i].column] = static_cast<int32_t>(i);
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    if (!has_values(profile.schema.columns[c].kind) && gap_latent[c] < 0) continue;
    const Latent* latent = value_latent[c] >= 0 ? &latents[value_latent[c]] : nullptr;
    const bool is_linear = space == Space::kStandardised && latent != nullptr && latent->is_number;
    ColumnSampler column =
        is_linear
            ? make_linear(profile.schema.columns[c], profile.columns[c].distribution, latent->mean, latent->deviation)
            : make_marginal(profile.schema.columns[c], profile.columns[c],
                            latent != nullptr ? std::span<const int32_t>(latent->order) : std::span<const int32_t>());
    column.latent = std::max(value_latent[c], 0);
    column.missing_latent = gap_latent[c];
    if (gap_latent[c] >= 0) column.missing_threshold = static_cast<float>(latents[gap_latent[c]].boundaries[1]);
    recipe.sampler.columns.push_back(std::move(column));
    recipe.sampled.push_back(static_cast<int32_t>(c));
  }
}

void add_factor(const PcaParameters& parameters, TableSampler& sampler) {
  const auto latents = static_cast<int64_t>(parameters.eigenvalues.size());
  // At least one latent: constants are made from it, too.
  sampler.latents = static_cast<int32_t>(std::max<int64_t>(latents, 1));
  sampler.components = static_cast<int32_t>(parameters.components);
  sampler.factor.assign(static_cast<size_t>(sampler.latents) * sampler.components, 0);
  sampler.residual.assign(sampler.latents, 0);
  for (int64_t j = 0; j < latents; ++j) {
    double explained = 0;
    for (int64_t k = 0; k < parameters.components; ++k) {
      const double weight = parameters.vectors[j * parameters.components + k] * std::sqrt(parameters.eigenvalues[k]);
      sampler.factor[j * parameters.components + k] = static_cast<float>(weight);
      explained += weight * weight;
    }
    if (1 - explained > kNoVariance) sampler.residual[j] = static_cast<float>(std::sqrt(1 - explained));
  }
}

PcaParameters decompose(const std::vector<double>& correlation, size_t latents, const std::string& components,
                        const Backend& backend) {
  PcaParameters parameters;
  if (latents == 0) return parameters;
  const SymmetricEigen eigen = backend.symmetric_eigen(correlation, static_cast<int64_t>(latents));
  parameters.eigenvalues = eigen.values;
  parameters.components = count_components(components, eigen.values);
  const auto kept = static_cast<size_t>(parameters.components);
  parameters.vectors.resize(latents * kept);
  for (size_t j = 0; j < latents; ++j)
    for (size_t k = 0; k < kept; ++k) parameters.vectors[j * kept + k] = eigen.vectors[j * latents + k];
  return parameters;
}

}  // namespace

void check_pca_options(const FitOptions& options) {
  parse_components(options.components);
  parse_space(options.space);
}

std::unique_ptr<Model> fit_pca(TableSource& source, const TableProfile& profile, const FitOptions& options,
                               const Backend& backend) {
  const Space space = parse_space(options.space);
  std::vector<Latent> latents = make_latents(profile);
  check_memory(latents.size(), options.memory_bytes);
  Json about = describe_pca(profile, options, latents);

  constexpr int64_t kBlockNumbers = 1 << 22, kLeastRows = 256, kMostRows = 8192;  // of doubles in a block of scores
  const auto width = static_cast<int64_t>(std::max<size_t>(latents.size(), 1));
  std::string stage = "ordering categories";
  RowBlocks blocks(source, profile, std::clamp(kBlockNumbers / width, kLeastRows, kMostRows), options.memory_bytes / 8,
                   backend, [&](double fraction) {
                     if (options.progress) options.progress(stage, fraction);
                   });
  std::vector<double> correlation;
  if (!latents.empty()) {
    order_levels(latents, profile, blocks, options.seed, backend);
    for (Latent& latent : latents) fill_functions(latent, profile);
    stage = "correlating";
    const LatentMoments moments = measure(latents, blocks, backend);
    correlation = nearest_correlation(pairwise_correlation(latents, moments, space), latents, backend);
  }
  PcaParameters parameters = decompose(correlation, latents.size(), options.components, backend);
  parameters.about = std::move(about);

  TableRecipe recipe = start_recipe(profile);
  add_columns(profile, latents, space, recipe);
  add_factor(parameters, recipe.sampler);
  check_table_recipe(recipe);
  return std::make_unique<PcaModel>(std::move(recipe), std::move(parameters));
}

std::unique_ptr<Model> load_pca(const ModelFile& file) {
  PcaParameters parameters;
  parameters.about = about_of(file, kVersion);
  const Tensor& vectors = file.tensor("components", {-1, -1});
  parameters.components = vectors.shape[1];
  parameters.vectors = vectors.to<double>();
  parameters.eigenvalues = file.tensor("eigenvalues", {vectors.shape[0]}).to<double>();
  if (parameters.components > vectors.shape[0]) throw InputError("model file: more components than latent dimensions");
  return std::make_unique<PcaModel>(load_table_recipe(file), std::move(parameters));
}

}  // namespace doppel
