#include "engine/models/mixture/mixture_density.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>
#include <utility>

#include "engine/models/mixture/gathered_scores.h"
#include "engine/models/mixture/mixture_view.h"
#include "engine/models/mixture/row_evidence.h"
#include "engine/models/score_axis.h"
#include "kernels/backend.h"
#include "kernels/common/elementary.h"
#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr double kLeastWeight = 1e-300;   // of a member that is never drawn
constexpr double kLeastVariance = 1e-10;  // of a latent

// The sum of term(0) .. term(count - 1) in four strands: a fixed order that processors take side by side.
template <class Term>
double sum_of(size_t count, const Term& term) {
  double sums[4] = {};
  size_t i = 0;
  for (; i + 4 <= count; i += 4)
    for (size_t strand = 0; strand < 4; ++strand) sums[strand] += term(i + strand);
  for (; i < count; ++i) sums[i % 4] += term(i);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

double greatest_of(std::span<const double> values) {
  double most[4] = {values[0], values[0], values[0], values[0]};
  size_t i = 0;
  for (; i + 4 <= values.size(); i += 4)
    for (size_t strand = 0; strand < 4; ++strand)
      most[strand] = values[i + strand] > most[strand] ? values[i + strand] : most[strand];
  for (; i < values.size(); ++i) most[0] = std::max(most[0], values[i]);
  return std::max(std::max(most[0], most[1]), std::max(most[2], most[3]));
}

double total_of(std::span<const double> values) {
  return sum_of(values.size(), [&](size_t i) { return values[i]; });
}

// log sum exp; the terms exp(x - greatest), whose sum is at least 1, stay in `terms`.
double log_sum_exp(std::span<const double> x, std::span<double> terms, double* greatest = nullptr) {
  const double most = greatest_of(x);
  for (size_t i = 0; i < x.size(); ++i) terms[i] = exp_below_zero(x[i] - most);
  if (greatest != nullptr) *greatest = most;
  return most + log_of_positive(total_of(terms));
}

// Random numbers of a completed row: block 0 words 0, 1 the member; block 1 + v words 0, 1 the state of variable v;
// then four latents a block.
class RowDraws {
 public:
  RowDraws(uint64_t seed, uint64_t row) : seed_(seed), row_(row) {}
  // In [0, 1), of the first two words of a block.
  double uniform(uint32_t block) const {
    const auto words = words_of(block);
    return static_cast<double>((uint64_t{words[0]} << 32 | words[1]) >> 11) * 0x1p-53;
  }
  std::array<float, 4> normals(uint32_t block) const {
    const auto words = words_of(block);
    std::array<float, 4> drawn{};
    for (size_t pair = 0; pair < 4; pair += 2)
      portable::box_muller<PlainLanes>(static_cast<int32_t>(words[pair]), static_cast<int32_t>(words[pair + 1]),
                                       drawn[pair], drawn[pair + 1]);
    return drawn;
  }

 private:
  std::array<uint32_t, 4> words_of(uint32_t block) const { return philox_words(seed_, row_, block, Stream::kComplete); }
  uint64_t seed_, row_;
};

class MixtureWorker : public DensityWorker {
 public:
  MixtureWorker(const MixtureView& view, double floor, int64_t most_bytes, const Backend* backend)
      : view_(view),
        row_(view, floor, most_bytes),
        members_(static_cast<size_t>(view.members)),
        log_floor_(log_of_positive(floor)),
        joint_(members_),
        terms_(members_),
        without_(members_),
        terms_without_(members_) {
    for (const double weight : view.weight) log_weight_.push_back(log_of_positive(std::max(weight, kLeastWeight)));
    for (size_t j = 0; j < static_cast<size_t>(view.latents); ++j)
      for (size_t m = 0; m < members_; ++m) {
        const double deviation = std::sqrt(std::max(view.variance(m, j), kLeastVariance));
        scale_.push_back(1 / deviation);
        centre_.push_back(scale_.back() * view.mean[m * static_cast<size_t>(view.latents) + j]);
        constant_.push_back(-0.5 * log_of_positive(2 * std::numbers::pi) - log_of_positive(deviation));
      }
    if (backend == nullptr) return;
    if (auto scores = backend->prepare_scores(scored_mixture()))
      gathered_ = std::make_unique<GatheredScores>(std::move(scores), view.columns.size(), view.latents);
  }

  void score(const Table& table, int64_t first, int64_t rows, std::span<const Knowledge> knowledge,
             std::span<double> score, std::span<double> contribution, std::span<double> usual) override {
    std::fill(contribution.begin(), contribution.end(), 0);
    std::fill(usual.begin(), usual.end(), 0);
    const Scores all{score, contribution, usual, table.columns.size()};
    if (gathered_ != nullptr) return score_gathered(table, first, knowledge, all);
    for (int64_t row = 0; row < rows; ++row) {
      observe(table, first + row, knowledge);
      const double log_density = weigh_members();
      const Scores::Row of_row = all.row(static_cast<size_t>(row));
      of_row.score = -log_density - static_cast<double>(row_.strange_gaps()) * log_floor_;
      find_contributions(log_density, of_row.contribution);
      find_usual(of_row.usual);
    }
  }

  void complete(const Table& table, int64_t given, std::span<const Knowledge> knowledge, Completion how, uint64_t seed,
                uint64_t row, std::span<SampledValue> values) override {
    observe(table, given, knowledge);
    row_.relax_impossible();
    weigh_members();
    if (how == Completion::kDraw) draw(RowDraws(seed, row));
    for (size_t c = 0; c < view_.columns.size(); ++c) {
      const auto at = static_cast<size_t>(view_.recipe.sampled[c]);
      if (knowledge[at] == Knowledge::kGiven) {
        values[at] = value_of(view_.recipe.schema.columns[at], table.columns[at], given);
      } else {
        values[at] = how == Completion::kDraw ? drawn_value(view_.columns[c]) : mean_value(c);
      }
    }
  }

 private:
  void observe(const Table& table, int64_t row, std::span<const Knowledge> knowledge) {
    if (row_.is_full()) forget();
    row_.observe(table, row, knowledge);
  }
  void forget() {
    row_.forget();
    if (gathered_ != nullptr) gathered_->forget();
  }

  // ---- rows that a backend scores, to the bits of what follows below (of low rank: but for rounding)

  // Of rows [rows], and of their columns [rows, columns of the table].
  struct Scores {
    struct Row {
      double& score;
      std::span<double> contribution, usual;
    };
    std::span<double> score, contribution, usual;
    size_t columns;
    Row row(size_t i) const {
      return {score[i], contribution.subspan(i * columns, columns), usual.subspan(i * columns, columns)};
    }
  };

  MixtureScores scored_mixture() const {
    const auto variables = static_cast<int32_t>(view_.variables.size());
    MixtureScores scored{view_.members, variables, view_.latents, log_weight_, scale_, centre_, constant_, {}, {}};
    if (view_.is_low_rank())
      scored.low_rank = {view_.recipe.sampler.components, view_.mean, view_.residual, view_.factor};
    for (const MixtureColumn& column : view_.columns) scored.cells.push_back({column.variable(), column.latent()});
    return scored;
  }

  void score_gathered(const Table& table, int64_t first, std::span<const Knowledge> knowledge, const Scores& all) {
    size_t begin = 0;
    for (size_t row = 0; row < all.score.size(); ++row) {
      if (row_.is_full()) {
        take_found(begin, all);
        begin = row;
      }
      observe(table, first + static_cast<int64_t>(row), knowledge);
      gather(all.row(row));
    }
    take_found(begin, all);
  }

  // The row at hand: what is asked of the backend, and the rest.
  void gather(const Scores::Row& of_row) {
    gathered_->add_row(row_);
    of_row.score = static_cast<double>(row_.strange_gaps()) * log_floor_;
    for (size_t c = 0; c < view_.columns.size(); ++c) {
      if (row_.part(c) == kUnknownPart) continue;
      const auto at = static_cast<size_t>(view_.recipe.sampled[c]);
      const bool has_variable = view_.columns[c].variable() >= 0, has_latent = row_.has_known_latent(c);
      if (row_.is_strange_gap(c)) of_row.contribution[at] = -log_floor_;
      const StateEvidence* alone = has_variable && row_.is_made(c) ? &row_.of_column_alone(c) : nullptr;
      if (row_.is_made(c) && !has_latent) of_row.usual[at] = usual_of(alone != nullptr ? alone->log_share : 0);
      if (!has_variable && !has_latent) continue;
      gathered_->ask(c, has_variable ? &row_.without_column(c) : nullptr, has_latent ? alone : nullptr,
                     has_latent && row_.is_made(c));
    }
  }

  // Of rows from `begin` on.
  void take_found(size_t begin, const Scores& all) {
    gathered_->find();
    for (size_t row = 0; row < gathered_->rows(); ++row) {
      const Scores::Row of_row = all.row(begin + row);
      const double log_density = gathered_->log_density(row);
      of_row.score = -log_density - of_row.score;
      for (size_t c = 0; c < view_.columns.size(); ++c) {
        const auto at = static_cast<size_t>(view_.recipe.sampled[c]);
        if (const auto without = gathered_->without(row, c)) of_row.contribution[at] = *without - log_density;
        if (const auto alone = gathered_->alone(row, c)) of_row.usual[at] = usual_of(*alone);
      }
    }
    gathered_->clear_rows();
  }

  // ---- densities

  // joint_: log weight + log P(states | member) + log N(latents | member). Returns the log of its sum.
  double weigh_members() {
    std::copy(log_weight_.begin(), log_weight_.end(), joint_.begin());
    row_.latents().add_constants(joint_);
    for (const StateEvidence* evidence : row_.of_variables())
      for (size_t m = 0; m < members_; ++m) joint_[m] += evidence->log_probability[m];
    row_.latents().add_squares(joint_);
    return log_sum_exp(joint_, terms_, &greatest_);
  }

  // ---- contributions

  void find_contributions(double log_density, std::span<double> contribution) {
    for (size_t c = 0; c < view_.columns.size(); ++c) {
      if (row_.part(c) == kUnknownPart) continue;
      const MixtureColumn& column = view_.columns[c];
      const bool has_latent = row_.has_known_latent(c);
      double& of_column = contribution[static_cast<size_t>(view_.recipe.sampled[c])];
      if (row_.is_strange_gap(c)) of_column = -log_floor_;
      if (column.variable() < 0 && !has_latent) continue;
      const StateEvidence* others = column.variable() >= 0 ? &row_.without_column(c) : nullptr;
      of_column =
          (has_latent ? log_sum_without(column, others) : log_sum_without_states(column, *others)) - log_density;
    }
  }

  // Fewer states known are likelier in every member, by a factor of 1e30 at most: members whose term is negligible
  // remain so, and what is summed needs no exponentials.
  double log_sum_without_states(const MixtureColumn& column, const StateEvidence& others) const {
    const std::vector<double>& with = row_.of_variable(static_cast<size_t>(column.variable())).inverse_probability;
    const std::vector<double>& without = others.probability;
    return greatest_ + log_of_positive(sum_of(members_, [&](size_t m) { return terms_[m] * (without[m] * with[m]); }));
  }

  double log_sum_without(const MixtureColumn& column, const StateEvidence* others) {
    std::copy(joint_.begin(), joint_.end(), without_.begin());
    if (others != nullptr) {
      const StateEvidence& with = row_.of_variable(static_cast<size_t>(column.variable()));
      for (size_t m = 0; m < members_; ++m) without_[m] += others->log_probability[m] - with.log_probability[m];
    }
    row_.latents().forget(column.latent(), without_);
    return log_sum_exp(without_, terms_without_);
  }

  void find_usual(std::span<double> usual) {
    for (size_t c = 0; c < view_.columns.size(); ++c) {
      const MixtureColumn& column = view_.columns[c];
      if (row_.part(c) == kUnknownPart || !row_.is_made(c)) continue;
      const StateEvidence* alone = column.variable() >= 0 ? &row_.of_column_alone(c) : nullptr;
      double log_density = alone != nullptr ? alone->log_share : 0;
      if (row_.has_known_latent(c)) log_density = log_density_alone(column.latent(), alone);
      usual[static_cast<size_t>(view_.recipe.sampled[c])] = usual_of(log_density);
    }
  }

  double usual_of(double log_density) const { return std::min(-log_density, -log_floor_); }

  double log_density_alone(int32_t latent, const StateEvidence* state) {
    const auto j = static_cast<size_t>(latent);
    const double z = row_.scores()[j];
    for (size_t m = 0; m < members_; ++m) {
      const double y = scale_[j * members_ + m] * z - centre_[j * members_ + m];
      without_[m] = log_weight_[m] + (constant_[j * members_ + m] - 0.5 * y * y);
    }
    for (size_t m = 0; m < members_ && state != nullptr; ++m) without_[m] += state->log_probability[m];
    return log_sum_exp(without_, terms_without_);
  }

  // ---- completion; terms_ holds the members' responsibilities, up to a factor

  void draw(const RowDraws& draws) {
    double left = draws.uniform(0) * total_of(terms_);
    size_t member = 0;
    while (member + 1 < members_ && left >= terms_[member]) left -= terms_[member++];
    while (member > 0 && terms_[member] == 0) --member;
    drawn_state_.resize(view_.variables.size());
    for (size_t v = 0; v < drawn_state_.size(); ++v)
      drawn_state_[v] = draw_state(v, static_cast<int32_t>(member), draws.uniform(1 + static_cast<uint32_t>(v)));
    draw_latents(static_cast<int32_t>(member), draws);
  }

  // By inversion up the tree: what a node's own states leave of the number is that of the node above.
  int32_t draw_state(size_t v, int32_t member, double uniform) const {
    const StateTree& tree = view_.variables[v];
    double left = uniform * row_.of_variable(v).node_probability[static_cast<size_t>(member)];
    int32_t last = 0;
    for (int32_t node = member; node >= 0; node = tree.above(node)) {
      const auto states = tree.own_states(node);
      const auto probabilities = tree.own_probabilities(node);
      for (size_t i = 0; i < states.size(); ++i) {
        if (!row_.leaves(v, states[i])) continue;
        last = states[i];
        if (left < probabilities[i]) return last;
        left -= probabilities[i];
      }
      if (tree.up(node) > 0) left /= tree.up(node);
    }
    return last;  // rounding
  }

  void draw_latents(int32_t member, const RowDraws& draws) {
    noise_.clear();
    for (auto block = static_cast<uint32_t>(1 + view_.variables.size()); noise_.size() < row_.latents().normals();
         ++block)
      for (const float normal : draws.normals(block)) noise_.push_back(static_cast<double>(normal));
    row_.latents().draw(member, noise_, row_.scores());
  }

  SampledValue drawn_value(const MixtureColumn& column) const {
    if (column.variable() >= 0) {
      const int32_t state = drawn_state_[static_cast<size_t>(column.variable())];
      const MixtureColumn::Part& part = column.parts()[static_cast<size_t>(column.part_of_state(state))];
      if (part.role != StateRole::kLatent) return part.value;
    }
    const auto latent = static_cast<size_t>(column.latent());
    return column.value_at(column.latent() < 0 ? 0.0f : static_cast<float>(row_.scores()[latent]));
  }

  // Probability of each part of a column, and for its latent the conditional mean of what the transform makes of it.
  SampledValue mean_value(size_t c) {
    const MixtureColumn& column = view_.columns[c];
    find_part_shares(column);
    const ColumnKind kind = view_.recipe.schema.columns[static_cast<size_t>(view_.recipe.sampled[c])].kind;
    size_t likeliest = 0;
    double present = 0;
    for (size_t p = 0; p < part_share_.size(); ++p) {
      if (part_share_[p] > part_share_[likeliest]) likeliest = p;
      if (static_cast<int32_t>(p) != column.missing_part()) present += part_share_[p];
    }
    const bool is_missing =
        column.missing_part() >= 0 && part_share_[static_cast<size_t>(column.missing_part())] > present;
    if (is_missing) return {true, 0, 0};
    if (!is_numeric(kind)) return column.parts().empty() ? column.value_at(0) : column.parts()[likeliest].value;
    double mean = 0;
    for (size_t p = 0; p < column.parts().size(); ++p) {
      const MixtureColumn::Part& part = column.parts()[p];
      if (part.role == StateRole::kValue) mean += part_share_[p] * as_real(column, part.value);
    }
    if (column.variable() < 0 || column.latent_part() >= 0) mean += latent_sum(column);
    mean /= present;
    SampledValue value;
    if (is_integer(column.storage())) {
      constexpr double kGreatest = 0x1p63 - 1024;  // the double below 2^63
      value.integer = static_cast<int64_t>(std::nearbyint(std::clamp(mean, -kGreatest, kGreatest)));
    } else {
      value.real = mean;
    }
    return value;
  }

  static double as_real(const MixtureColumn& column, const SampledValue& value) {
    return is_integer(column.storage()) ? static_cast<double>(value.integer) : value.real;
  }

  // part_share_ [parts]: sum over members of responsibility times P(part | member, what is known of the variable);
  // latent_share_ [members]: the terms of the latent part. Without a variable all is the latent's.
  void find_part_shares(const MixtureColumn& column) {
    const double total = total_of(terms_);
    latent_share_.assign(members_, 0);
    part_share_.assign(std::max<size_t>(column.parts().size(), 1), 0);
    for (size_t m = 0; m < members_ && column.variable() < 0; ++m) latent_share_[m] = terms_[m] / total;
    if (column.variable() < 0) {
      part_share_[0] = 1;
      return;
    }
    const auto v = static_cast<size_t>(column.variable());
    const StateTree& tree = view_.variables[v];
    state_probability_.resize(static_cast<size_t>(tree.states()));
    for (size_t m = 0; m < members_; ++m) {
      const double possible = row_.of_variable(v).node_probability[m], share = terms_[m] / total;
      if (!(share > 1e-9) || !(possible > 0)) continue;
      tree.find_states(static_cast<int32_t>(m), state_probability_);
      for (int32_t state = 0; state < tree.states(); ++state) {
        if (!row_.leaves(v, state)) continue;
        const int32_t part = column.part_of_state(state);
        const double probability = share * state_probability_[static_cast<size_t>(state)] / possible;
        part_share_[static_cast<size_t>(part)] += probability;
        if (part == column.latent_part()) latent_share_[m] += probability;
      }
    }
  }

  // Sum over members of their share of the latent part times E[transform(z) | member, known latents]: an average over
  // kNodes slices of equal probability of the normal, each at its mean.
  double latent_sum(const MixtureColumn& column) {
    if (column.latent() < 0) return as_real(column, column.value_at(0)) * total_of(latent_share_);
    constexpr size_t kNodes = 16;
    static const std::vector<double> nodes = mean_scores(score_boundaries(std::vector<int64_t>(kNodes, 1)));
    double sum = 0;
    for (size_t m = 0; m < members_; ++m) {
      if (!(latent_share_[m] > 1e-6)) continue;
      const ScoreNormal normal = row_.latents().conditional(static_cast<int32_t>(m), column.latent());
      double value = 0;
      for (const double node : nodes)
        value += as_real(column, column.value_at(static_cast<float>(normal.mean + normal.deviation * node)));
      sum += latent_share_[m] * value / static_cast<double>(kNodes);
    }
    return sum;
  }

  const MixtureView& view_;
  RowEvidence row_;  // at hand
  size_t members_;
  double log_floor_;
  std::vector<double> log_weight_;
  std::vector<double> scale_, centre_,
      constant_;                              // [latents, members] alone: log N = constant - 1/2 (scale z - centre)^2
  std::unique_ptr<GatheredScores> gathered_;  // null: rows are scored here

  std::vector<double> joint_, terms_;            // [members] logs, and exp(joint_ - greatest_)
  std::vector<double> without_, terms_without_;  // [members] likewise, without a column
  double greatest_ = 0;
  std::vector<int32_t> drawn_state_;
  std::vector<double> noise_, part_share_, latent_share_, state_probability_;
};

class DensityOfRows : public Density {
 public:
  DensityOfRows(std::shared_ptr<const TableRecipe> recipe, int64_t rows)
      : recipe_(std::move(recipe)),
        view_(*recipe_),
        floor_(1 / (static_cast<double>(std::max<int64_t>(rows, 0)) + 1)) {}
  const TableSchema& schema() const override { return recipe_->schema; }
  std::unique_ptr<DensityWorker> make_worker(int64_t most_bytes, const Backend* backend) const override {
    return std::make_unique<MixtureWorker>(view_, floor_, most_bytes, backend);
  }

 private:
  std::shared_ptr<const TableRecipe> recipe_;
  MixtureView view_;
  double floor_;
};

}  // namespace

std::shared_ptr<const Density> make_mixture_density(std::shared_ptr<const TableRecipe> recipe, int64_t rows) {
  return std::make_shared<DensityOfRows>(std::move(recipe), rows);
}

}  // namespace doppel
