#include "engine/models/mixture.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "engine/models/conditioned_sampler.h"
#include "engine/models/fit_report.h"
#include "engine/models/mixture_density.h"
#include "engine/models/mixture_learner.h"
#include "engine/models/mixture_patterns.h"
#include "engine/models/mixture_recipe.h"
#include "engine/models/mixture_start.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kVersion = 1;
constexpr int64_t kBlockRows = 8192;
constexpr uint32_t kUseSplit = 0x40000002u;  // of fit_uniform
constexpr double kOperations = 5e10;         // multiply-adds that choosing and fitting may take on the sample
constexpr int64_t kSampleRows = 1 << 16;     // at most, of the sample
constexpr double kUnseenRows = 0.01;         // added to the count of each state: none is impossible
constexpr double kSettled = 1e-4;            // nats a row between iterations at which fitting ends
constexpr int64_t kFewestTrialMembers = 16;

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

std::optional<int64_t> parse_members(const std::string& text) {
  if (text == "auto") return std::nullopt;
  int64_t members = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), members);
  if (error != std::errc() || end != text.data() + text.size() || members < 1 || members > kMostMembers)
    throw UsageError("--members '" + text + "': a number from 1 to " + std::to_string(kMostMembers) + ", or auto");
  return members;
}

// Rows held in memory, evenly spread over the table where it is too long to hold, part of them held out.
struct Sample {
  RowsByPattern training, held_out;
  bool is_whole = true;
};

int64_t bytes_per_row(const MixtureSpace& space) {
  constexpr int64_t kStartBytes = kStartAxes * 4, kOverhead = 8;
  return static_cast<int64_t>(4 * (space.variables.size() + space.axes.size())) + kStartBytes + kOverhead;
}

Sample take_sample(const MixtureSpace& space, RowBlocks& blocks, int64_t rows, int64_t most_rows, double held_out_share,
                   uint64_t seed) {
  Sample sample;
  sample.is_whole = rows <= most_rows;
  const double chosen_share = sample.is_whole ? 1 : static_cast<double>(most_rows) / static_cast<double>(rows);
  RowCollector training(space, seed), held_out(space, seed);
  blocks.for_each([&](const EncodedRows& block) {
    for (int64_t row = 0; row < block.rows; ++row) {
      const double draw = fit_uniform(seed, static_cast<uint64_t>(block.first_row + row), kUseSplit) / chosen_share;
      if (draw < 1) (draw < held_out_share ? held_out : training).add(block, row);
    }
  });
  sample.training = training.take();
  sample.held_out = held_out.take();
  return sample;
}

// Rows of both, patterns of one kind together.
RowsByPattern joined(RowsByPattern rows, const RowsByPattern& more) {
  for (const RowsOfPattern& pattern : more) {
    const auto same =
        std::find_if(rows.begin(), rows.end(), [&](const RowsOfPattern& p) { return p.present == pattern.present; });
    if (same == rows.end()) {
      rows.push_back(pattern);
      continue;
    }
    same->rows += pattern.rows;
    same->states.insert(same->states.end(), pattern.states.begin(), pattern.states.end());
    same->latents.insert(same->latents.end(), pattern.latents.begin(), pattern.latents.end());
  }
  return rows;
}

std::vector<std::vector<double>> state_shares(const MixtureSpace& space, const RowsByPattern& rows) {
  std::vector<std::vector<double>> shares;
  for (size_t v = 0; v < space.variables.size(); ++v) {
    std::vector<double>& of_states = shares.emplace_back();
    for (const int64_t count : count_states(space, rows, v))
      of_states.push_back(kUnseenRows + static_cast<double>(count));
    double total = 0;
    for (const double share : of_states) total += share;
    for (double& share : of_states) share /= total;
  }
  return shares;
}

// Fits one number of members to rows in memory.
class MixtureFitter {
 public:
  MixtureFitter(const MixtureSpace& space, const RowsByPattern& rows, const FitOptions& options, const Backend& backend)
      : rows_(rows),
        seed_(options.seed),
        learner_(space, MixturePriors{}, state_shares(space, rows), pooled_covariance(rows, space.axes.size())),
        starter_(space, rows, backend) {}

  // progress(iterations done) may be empty.
  std::shared_ptr<const MixtureParameters> fit(int64_t members, int iterations,
                                               const std::function<void(int)>& progress) {
    const int64_t groups = count_groups(members);
    const MixtureStart start = starter_.start(members, groups, seed_);
    auto parameters = std::make_shared<const MixtureParameters>(
        learner_.maximise(learner_.count(rows_, start.member, members), start.group, groups));
    double last = -std::numeric_limits<double>::infinity();
    for (int iteration = 0; iteration < iterations; ++iteration) {
      if (progress) progress(iteration);
      learner_.set(parameters);
      const MixtureStatistics statistics = learner_.expect(rows_);
      parameters = std::make_shared<const MixtureParameters>(learner_.maximise(statistics, parameters->group, groups));
      const double now = statistics.log_likelihood / std::max(statistics.rows, 1.0);
      if (now - last < kSettled) break;
      last = now;
    }
    learner_.set(parameters);
    return parameters;
  }
  MixtureLearner& learner() { return learner_; }  // with the parameters fitted last

 private:
  static int64_t count_groups(int64_t members) {
    constexpr int64_t kMembersPerGroup = 8;
    return std::max<int64_t>(1, members / kMembersPerGroup);
  }

  const RowsByPattern& rows_;
  uint64_t seed_;
  MixtureLearner learner_;
  MixtureStarter starter_;
};

// Multiply-adds of an iteration, about.
double operations_per_member(const MixtureSpace& space, int64_t rows) {
  const auto axes = static_cast<double>(space.axes.size());
  constexpr double kOther = 4;
  return static_cast<double>(rows) * (static_cast<double>(space.variables.size()) + axes * (axes + 3) / 2 + kOther);
}

struct Trial {
  int64_t members;
  double training, held_out;  // mean log likelihoods
};

// The number of members, and how it was found.
struct Choice {
  int64_t members = 1;
  std::vector<Trial> trials;
};

Choice choose_members(const MixtureSpace& space, const Sample& sample, size_t columns, const FitOptions& options,
                      const Backend& backend) {
  Choice choice;
  const int64_t rows = count_rows(sample.training);
  // Trials double: together they cost two of the last, and the fit follows.
  const double affordable = kOperations / ((2 * kTrialIterations + kIterations) * operations_per_member(space, rows));
  const int64_t most =
      std::clamp<int64_t>(std::min<int64_t>(static_cast<int64_t>(affordable), rows / kRowsPerMember), 1, kMostMembers);
  MixtureFitter fitter(space, sample.training, options, backend);
  const double slack = kLikelihoodSlack * static_cast<double>(columns);
  double best = -std::numeric_limits<double>::infinity();
  for (int64_t members = std::min(most, kFewestTrialMembers);;) {
    fitter.fit(members, kTrialIterations, [&](int iteration) {
      if (options.progress)
        options.progress("trying " + std::to_string(members) + " members",
                         static_cast<double>(iteration) / kTrialIterations);
    });
    const Trial trial{members, fitter.learner().log_likelihood(sample.training),
                      fitter.learner().log_likelihood(sample.held_out)};
    choice.trials.push_back(trial);
    best = std::max(best, trial.held_out);
    if (trial.held_out >= best - slack) choice.members = members;
    if (trial.held_out < best - slack || members == most) return choice;
    members = std::min(2 * members, most);
  }
}

// Passes of stepwise EM over all rows, block by block.
std::shared_ptr<const MixtureParameters> refine(const MixtureSpace& space, RowBlocks& blocks, int64_t rows,
                                                std::shared_ptr<const MixtureParameters> parameters,
                                                MixtureLearner& learner, const RowsByPattern& sample,
                                                const PatternLimit& limit, const FitOptions& options) {
  constexpr int kPasses = 1;
  constexpr int64_t kLeastBatchRows = 1 << 12, kMostBatchRows = 1 << 16, kLeastSteps = 16;
  const int64_t batch_rows = std::clamp(rows / kLeastSteps, kLeastBatchRows, kMostBatchRows);
  constexpr double kDecay = 0.6;  // of the step sizes (t + 2)^-kDecay; between 1/2 and 1
  const std::vector<double> centre = parameters->mean;
  learner.set(parameters);
  MixtureStatistics statistics = learner.expect(sample, centre);
  statistics.scale(static_cast<double>(rows) / statistics.rows);
  RowCollector collector(space, options.seed);
  int64_t collected = 0, step = 0;
  const auto improve = [&] {
    if (collected == 0) return;
    MixtureStatistics batch = learner.expect(limit.apply(collector.take()), centre);
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
                      const Choice& choice, const MixtureParameters& parameters) {
  Json json = describe_fit(profile, options);
  json["provenance"]["members"] = options.members;
  json["members"] = parameters.members;
  json["groups"] = parameters.groups;
  Json& trials = json["trials"] = Json::array();
  for (const Trial& trial : choice.trials)
    trials.push_back({{"members", trial.members},
                      {"log_likelihood_training_nats_per_row", trial.training},
                      {"log_likelihood_held_out_nats_per_row", trial.held_out}});
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
  parse_members(options.members);
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
  RowBlocks blocks(source, profile, kBlockRows, options.memory_bytes / 8, [&](double share) {
    if (options.progress) options.progress(stage, share);
  });
  const MixtureSpace space = make_mixture_space(profile, blocks);
  const std::optional<int64_t> asked = parse_members(options.members);
  const int64_t most_rows = std::clamp(options.memory_bytes / 4 / bytes_per_row(space), kBlockRows, kSampleRows);
  stage = "reading rows";
  Sample sample = take_sample(space, blocks, profile.rows, most_rows, asked ? 0 : kHeldOutShare, options.seed);
  const PatternLimit limit(sample.training, space.axes.size(), options.seed);
  sample.training = limit.apply(std::move(sample.training));
  sample.held_out = limit.apply(std::move(sample.held_out));
  Choice choice;
  if (asked) {
    choice.members = std::min(*asked, profile.rows);
  } else {
    choice = choose_members(space, sample, profile.columns.size(), options, backend);
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
