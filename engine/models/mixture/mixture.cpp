#include "engine/models/mixture/mixture.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "engine/models/count_option.h"
#include "engine/models/fit_report.h"
#include "engine/models/mixture/conditioned_rows.h"
#include "engine/models/mixture/factor_analysers.h"
#include "engine/models/mixture/mixture_density.h"
#include "engine/models/mixture/mixture_fitter.h"
#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_patterns.h"
#include "engine/models/mixture/mixture_privacy.h"
#include "engine/models/mixture/mixture_recipe.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr int64_t kBlockRows = 8192;
constexpr double kOperations = 5e10;      // multiply-adds that choosing and fitting may take on the sample
constexpr double kWideOperations = 2e11;  // likewise, where covariances are of low rank
constexpr int64_t kSampleRows = 1 << 16;  // at most, of the sample

class MixtureModel : public Model {
 public:
  MixtureModel(TableRecipe recipe, Json about)
      : recipe_(std::make_shared<const TableRecipe>(std::move(recipe))), about_(std::move(about)) {}
  std::string kind() const override { return kMixtureKind; }
  const TableSchema& schema() const override { return recipe_->schema; }
  ModelFile save() const override {
    ModelFile file;
    file.metadata = about_;
    file.metadata["kind"] = kMixtureKind;
    file.metadata["version"] = kVersion;
    save_table_recipe(*recipe_, file);
    return file;
  }
  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return make_table_generator(recipe_, seed, backend);
  }
  ConditionedRows make_generator_where(const std::string& conditions, uint64_t seed,
                                       const Backend& backend) const override {
    return make_rows_where(*recipe_, conditions, seed, backend);
  }
  std::shared_ptr<const Density> density() const override {
    return make_mixture_density(recipe_, about_.value("rows", int64_t{0}));
  }
  Json describe() const override { return about_; }

 private:
  std::shared_ptr<const TableRecipe> recipe_;
  Json about_;
};

std::optional<int64_t> parse_members(const FitOptions& options) {
  return parse_count_option("--members", options.members, kMostMembers);
}

int64_t bytes_per_row(const MixtureSpace& space) {
  constexpr int64_t kStartBytes = kStartAxes * 4, kSwapBytes = 32, kOverhead = 8;
  return static_cast<int64_t>(4 * (2 * space.variables.size() + space.axes.size())) + kStartBytes + kSwapBytes +
         kOverhead;
}

// Passes of stepwise EM over all rows, block by block.
std::shared_ptr<const MixtureParameters> refine(const MixtureSpace& space, RowBlocks& blocks, int64_t rows,
                                                std::shared_ptr<const MixtureParameters> parameters,
                                                MixtureLearner& learner, const RowsByPattern& sample,
                                                const std::optional<PatternLimit>& limit, const FitOptions& options) {
  constexpr int kPasses = 1;
  constexpr int64_t kLeastBatchRows = 1 << 12, kMostBatchRows = 1 << 16, kLeastSteps = 16;
  const int64_t batch_rows = std::clamp(rows / kLeastSteps, kLeastBatchRows, kMostBatchRows);
  constexpr double kDecay = 0.6;  // of the step sizes (t + 2)^-kDecay; between 1/2 and 1
  const std::vector<double> centre = parameters->mean;
  learner.set(parameters);
  MixtureStatistics statistics = learner.expect(learner.prepare(sample), centre);
  statistics.scale(static_cast<double>(rows) / statistics.rows);
  RowCollector collector(space, options.seed);
  int64_t collected = 0, step = 0;
  const auto improve = [&] {
    if (collected == 0) return;
    RowsByPattern collected_rows = collector.take();
    if (limit) collected_rows = limit->apply(std::move(collected_rows));
    MixtureStatistics batch = learner.expect(learner.prepare(collected_rows), centre);
    const double weight = std::pow(static_cast<double>(step++) + 2, -kDecay) *
                          std::min(1.0, static_cast<double>(collected) / static_cast<double>(batch_rows));
    batch.scale(weight * static_cast<double>(rows) / std::max(batch.rows, 1.0));
    statistics.scale(1 - weight);
    statistics.add(batch);
    parameters =
        std::make_shared<const MixtureParameters>(learner.maximise(statistics, parameters->group, parameters->groups));
    learner.set(parameters);
    collected = 0;
  };
  for (int pass = 0; pass < kPasses; ++pass) {
    blocks.for_each([&](const EncodedRows& block) {
      for (int64_t row = 0; row < block.rows; ++row) collector.add(block, row);
      collected += block.rows;
      if (options.progress)
        options.progress("refining", static_cast<double>(block.first_row + block.rows) / static_cast<double>(rows));
      if (collected >= batch_rows) improve();
    });
    improve();
  }
  return parameters;
}

Json describe_mixture(const MixtureSpace& space, const TableProfile& profile, const FitOptions& options,
                      const MembersChoice& choice, const MixtureParameters& parameters) {
  Json json = describe_fit(profile, options);
  json["provenance"]["members"] = options.members;
  json["members"] = parameters.members;
  json["groups"] = parameters.groups;
  if (parameters.is_low_rank()) json["ranks"] = ranks_of(parameters);
  Json& trials = json["trials"] = Json::array();
  for (const MembersTrial& trial : choice.trials) {
    trials.push_back({{"members", trial.members},
                      {"log_likelihood_training_nats_per_row", trial.training},
                      {"log_likelihood_held_out_nats_per_row", trial.held_out}});
    if (!trial.nearer) continue;
    trials.back()["nearer_to_training_share"] = trial.nearer->share;
    trials.back()["nearer_to_training_standard_error"] = trial.nearer->standard_error;
  }
  Json& variables = json["variables"] = Json::array();
  for (const MixtureVariable& variable : space.variables) {
    Json names = Json::array();
    for (const VariableColumn& column : variable.columns) names.push_back(profile.schema.columns[column.column].name);
    variables.push_back({{"columns", std::move(names)}, {"states", variable.states}});
  }
  Json& axes = json["latents"] = Json::array();
  for (const LatentAxis& axis : space.axes) axes.push_back(profile.schema.columns[axis.column].name);
  return json;
}

}  // namespace

void check_mixture_options(const FitOptions& options) {
  parse_members(options);
  if (options.components != "auto" || options.space != "scores")
    throw UsageError("--components and --space are of --model pca: a mixture has --members");
}

bool suits_mixture(const TableProfile& profile) {
  int64_t numbers = 0;
  for (size_t c = 0; c < profile.columns.size(); ++c)
    numbers += is_numeric(profile.schema.columns[c].kind) && profile.columns[c].distribution.counts.size() > kFewValues;
  return numbers <= kMostAxes;
}

std::unique_ptr<Model> fit_mixture(TableSource& source, const TableProfile& profile, const FitOptions& options,
                                   const Backend& backend) {
  std::string stage = "joining variables";
  RowBlocks blocks(source, profile, kBlockRows, options.memory_bytes / 8, backend, [&](double share) {
    if (options.progress) options.progress(stage, share);
  });
  const MixtureSpace space = make_mixture_space(profile, blocks);
  const std::optional<int64_t> asked = parse_members(options);
  const int64_t most_rows = std::clamp(options.memory_bytes / 4 / bytes_per_row(space), kBlockRows, kSampleRows);
  stage = "reading rows";
  RowSample sample = take_sample(space, blocks, profile.rows, most_rows, asked ? 0 : kHeldOutShare, options.seed);
  std::optional<PatternLimit> limit;
  if (!space.is_low_rank) {
    limit.emplace(sample.training, space.axes.size(), options.seed);
    sample.training = limit->apply(std::move(sample.training));
    sample.held_out = limit->apply(std::move(sample.held_out));
  }
  MembersChoice choice;
  if (asked) {
    choice.members = std::min(*asked, profile.rows);
  } else {
    const MixturePrivacy privacy(profile, space, sample, options.seed, backend);
    choice = choose_members(
        space, sample, profile.columns.size(), space.is_low_rank ? kWideOperations : kOperations,
        [&](const MixtureParameters& parameters) { return privacy.measure(parameters); }, options, backend);
  }
  const RowsByPattern rows = joined(std::move(sample.training), sample.held_out);
  MixtureFitter fitter(space, rows, options, backend);
  std::shared_ptr<const MixtureParameters> parameters = fitter.fit(choice.members, kIterations, [&](int iteration) {
    if (options.progress)
      options.progress("fitting " + std::to_string(choice.members) + " members",
                       static_cast<double>(iteration) / kIterations);
  });
  if (!sample.is_whole)
    parameters = refine(space, blocks, profile.rows, parameters, fitter.learner(), rows, limit, options);
  return std::make_unique<MixtureModel>(make_mixture_recipe(profile, space, *parameters),
                                        describe_mixture(space, profile, options, choice, *parameters));
}

std::unique_ptr<Model> load_mixture(const ModelFile& file) {
  Json about = about_of(file, kVersion);
  return std::make_unique<MixtureModel>(load_table_recipe(file), std::move(about));
}

}  // namespace doppel
