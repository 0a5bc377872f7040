#include "engine/constrained_rows.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kGroupRows = 64, kRoundRows = 8;  // of a group: rows, and candidates in a round
constexpr uint64_t kMostRounds = uint64_t{1} << 17;
constexpr double kLeastAcceptance = 0.001;  // then 2^20 candidates of a group suffice for all but one in 10^100 groups
// Groups that need no candidates are drawn for where they part fewer: samplers work in tiles of some hundred rows.
constexpr uint64_t kSkippedGroups = 32;
constexpr int64_t kMostCandidates = 1 << 13;  // at a time

std::string list_of(const Constraints& constraints, const TableSchema& schema) {
  std::string text;
  for (const Constraint& constraint : constraints)
    text += (text.empty() ? "\"" : "\" and \"") + to_text(constraint, schema);
  return text + "\"";
}

class ConstrainedSampler : public RowSampler {
 public:
  ConstrainedSampler(const Generator& rows, const Generator& redraws, const ConstraintChecker& checker)
      : schema_(rows.schema()),
        checker_(checker),
        rows_(rows.make_sampler()),
        redraws_(redraws.make_sampler()),
        candidates_(schema_, kGroupRows) {}

  Batch make_batch(const OutputSchema& schema, int64_t capacity) const override {
    return rows_->make_batch(schema, capacity);
  }
  size_t preferred_bytes() const override { return rows_->preferred_bytes(); }

  void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
    rows_->sample(first_row, rows, batch);
    find_broken(batch, rows);
    find_pending(first_row, rows);
    for (uint64_t round = 0; !pending_.empty(); ++round) {
      if (round == kMostRounds)
        throw Error("no row that holds the constraints among " + std::to_string(kMostRounds * kRoundRows) +
                    " tries: the model hardly makes any; fit without a constraint");
      for (size_t first = 0; first < pending_.size();) first = replace_some(round, first, batch);
      std::erase_if(pending_, [](const Group& group) { return group.wanted == 0; });
    }
  }

 private:
  struct Group {
    uint64_t number;  // of the group: its rows are those from 64 times it on
    int64_t start;    // of its rows in the batch; may be before the first
    uint64_t broken;  // rows to be replaced, of all 64
    uint64_t wanted;  // those of them that lie in the batch
  };

  void find_broken(const Batch& batch, int64_t rows) {
    broken_.resize(static_cast<size_t>(rows + 63) / 64);
    checker_.find_broken(cells_of(schema_, batch), rows, broken_);
  }

  void find_pending(uint64_t first_row, int64_t rows) {
    pending_.clear();
    const uint64_t end = first_row + static_cast<uint64_t>(rows);
    for (uint64_t number = first_row / kGroupRows; number * kGroupRows < end; ++number) {
      const auto start = static_cast<int64_t>(number * kGroupRows - first_row);
      const uint64_t wanted = broken_from(start);
      if (wanted == 0) continue;
      const bool is_whole = start >= 0 && start + kGroupRows <= rows;
      pending_.push_back({number, start, is_whole ? wanted : broken_of_group(number), wanted});
    }
  }

  // Bits of the batch's rows from `start` on, which may be before its first row.
  uint64_t broken_from(int64_t start) const {
    const auto word = [this](int64_t index) {
      return index >= 0 && index < static_cast<int64_t>(broken_.size()) ? broken_[static_cast<size_t>(index)] : 0;
    };
    const int64_t index = start >= 0 ? start / 64 : -1;
    const auto shift = static_cast<int>(start - 64 * index);
    return shift == 0 ? word(index) : word(index) >> shift | word(index + 1) << (64 - shift);
  }

  uint64_t broken_of_group(uint64_t number) {
    redraws_->sample(number * kGroupRows, kGroupRows, candidates_);
    uint64_t broken = 0;
    checker_.find_broken(cells_of(schema_, candidates_), kGroupRows, {&broken, 1});
    return broken;
  }

  // One round for groups from `first` on, as many as lie near one another. Returns the one after them.
  size_t replace_some(uint64_t round, size_t first, Batch& batch) {
    const uint64_t from = pending_[first].number;
    size_t end = first + 1;
    while (end < pending_.size() && pending_[end].number - pending_[end - 1].number <= kSkippedGroups &&
           static_cast<int64_t>(pending_[end].number - from + 1) * kRoundRows <= kMostCandidates)
      ++end;
    const auto count = static_cast<int64_t>(pending_[end - 1].number - from + 1) * kRoundRows;
    draw_candidates(candidate_row(round, from * kRoundRows), count);
    for (size_t i = first; i < end; ++i) {
      const auto at = static_cast<int64_t>(pending_[i].number - from) * kRoundRows;
      replace(pending_[i], at, static_cast<uint8_t>(~bad_[static_cast<size_t>(at / 64)] >> at % 64), batch);
    }
    return end;
  }

  void draw_candidates(uint64_t first, int64_t count) {
    if (count > candidates_.capacity())
      candidates_ = redraws_->make_batch(schema_, static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(count))));
    redraws_->sample(first, count, candidates_);
    bad_.resize(static_cast<size_t>(count + 63) / 64);
    checker_.find_broken(cells_of(schema_, candidates_), count, bad_);
  }

  // By the candidates from `at` on whose bits are set.
  void replace(Group& group, int64_t at, uint8_t good, Batch& batch) const {
    for (; good != 0 && group.wanted != 0; good &= static_cast<uint8_t>(good - 1)) {
      const int row = std::countr_zero(group.broken);
      const uint64_t bit = uint64_t{1} << row;
      if ((group.wanted & bit) != 0) copy_row(at + std::countr_zero(good), group.start + row, batch);
      group.wanted &= ~bit;
      group.broken &= ~bit;
    }
  }

  void copy_row(int64_t from, int64_t to, Batch& batch) const {
    for (size_t c = 0; c < batch.columns(); ++c) {
      const ColumnBuffer &source = candidates_.buffer(c), &target = batch.buffer(c);
      if (target.values != nullptr) {
        const size_t bytes = bytes_per_value(schema_.columns[c].storage);
        std::memcpy(static_cast<std::byte*>(target.values) + static_cast<size_t>(to) * bytes,
                    static_cast<const std::byte*>(source.values) + static_cast<size_t>(from) * bytes, bytes);
      }
      if (target.validity == nullptr) continue;
      const auto bit = static_cast<uint8_t>(1 << to % 8);
      uint8_t& byte = target.validity[to / 8];
      byte = static_cast<uint8_t>(candidates_.is_present(c, from) ? byte | bit : byte & ~bit);
    }
  }

  const OutputSchema& schema_;
  const ConstraintChecker& checker_;
  std::unique_ptr<RowSampler> rows_, redraws_;
  Batch candidates_;
  std::vector<uint64_t> broken_, bad_;  // bits of the batch's rows and of candidates that break a constraint
  std::vector<Group> pending_;          // ascending
};

class ConstrainedGenerator : public Generator {
 public:
  ConstrainedGenerator(std::shared_ptr<const Generator> rows, std::shared_ptr<const Generator> redraws,
                       const Constraints& constraints, const TableSchema& known)
      : rows_(std::move(rows)),
        redraws_(std::move(redraws)),
        checker_(constraints, known, table_schema_of(rows_->schema())) {}
  const OutputSchema& schema() const override { return rows_->schema(); }
  uint64_t seed() const override { return rows_->seed(); }
  std::unique_ptr<RowSampler> make_sampler() const override {
    return std::make_unique<ConstrainedSampler>(*rows_, *redraws_, checker_);
  }

 private:
  std::shared_ptr<const Generator> rows_, redraws_;
  ConstraintChecker checker_;
};

// A generator on the CPU, with its backend.
struct OnCpu {
  std::unique_ptr<Backend> backend = make_backend("cpu");
  std::shared_ptr<const Generator> generator;
};

class ConstrainedModel : public Model {
 public:
  ConstrainedModel(std::unique_ptr<Model> model, Constraints constraints, double acceptance)
      : model_(std::move(model)), constraints_(std::move(constraints)), acceptance_(acceptance) {}
  std::string kind() const override { return model_->kind(); }
  const TableSchema& schema() const override { return model_->schema(); }
  const Constraints& constraints() const override { return constraints_; }
  std::shared_ptr<const Density> density() const override { return model_->density(); }
  std::shared_ptr<const Coder> coder(const Backend& backend) const override { return model_->coder(backend); }

  ModelFile save() const override {
    ModelFile file = model_->save();
    save_constraints(constraints_, schema(), file);
    file.metadata["constraint_acceptance"] = acceptance_;
    return file;
  }

  std::shared_ptr<const Generator> make_generator(uint64_t seed, const Backend& backend) const override {
    return constrain(model_->make_generator(seed, backend),
                     [&](const Backend& cpu) { return model_->make_generator(seed, cpu); });
  }

  ConditionedRows make_generator_where(const std::string& conditions, uint64_t seed,
                                       const Backend& backend) const override {
    ConditionedRows rows = model_->make_generator_where(conditions, seed, backend);
    const double acceptance = constraint_acceptance(*rows.generator, constraints_, schema());
    if (acceptance < kLeastAcceptance)
      throw UsageError("--where: of the rows that meet the conditions hardly one holds the model's constraints " +
                       list_of(constraints_, schema()) + ": give conditions that leave room for them");
    rows.acceptance *= acceptance;
    rows.probability *= acceptance / acceptance_;
    if (!rows.is_density) rows.probability = std::min(rows.probability, 1.0);
    rows.generator = constrain(rows.generator, [&](const Backend& cpu) {
      return model_->make_generator_where(conditions, seed, cpu).generator;
    });
    return rows;
  }

  nlohmann::json describe() const override {
    nlohmann::json json = model_->describe();
    nlohmann::json& texts = json["constraints"] = nlohmann::json::array();
    for (const Constraint& constraint : constraints_) texts.push_back(to_text(constraint, schema()));
    json["constraint_acceptance"] = acceptance_;
    return json;
  }

 private:
  template <class Make>
  std::shared_ptr<const Generator> constrain(std::shared_ptr<const Generator> rows, Make make) const {
    const auto cpu = std::make_shared<OnCpu>();
    cpu->generator = make(*cpu->backend);
    return make_constrained_generator(std::move(rows), {cpu, cpu->generator.get()}, constraints_, schema());
  }

  std::unique_ptr<Model> model_;
  Constraints constraints_;
  double acceptance_;  // share of the model's rows that hold the constraints
};

}  // namespace

std::shared_ptr<const Generator> make_constrained_generator(std::shared_ptr<const Generator> rows,
                                                            std::shared_ptr<const Generator> redraws,
                                                            const Constraints& constraints, const TableSchema& known) {
  return std::make_shared<ConstrainedGenerator>(std::move(rows), std::move(redraws), constraints, known);
}

double constraint_acceptance(const Generator& rows, const Constraints& constraints, const TableSchema& known) {
  constexpr int64_t kRows = 1 << 14, kBatchRows = 1 << 10;
  const ConstraintChecker checker(constraints, known, table_schema_of(rows.schema()));
  const auto sampler = rows.make_sampler();
  Batch batch(rows.schema(), kBatchRows);
  std::vector<uint64_t> broken(kBatchRows / 64);
  int64_t count = 0;
  for (int64_t first = 0; first < kRows; first += kBatchRows) {
    sampler->sample(static_cast<uint64_t>(first), kBatchRows, batch);
    checker.find_broken(cells_of(rows.schema(), batch), kBatchRows, broken);
    for (const uint64_t word : broken) count += std::popcount(word);
  }
  return 1 - static_cast<double>(count) / static_cast<double>(kRows);
}

std::unique_ptr<Model> make_constrained_model(std::unique_ptr<Model> model, Constraints constraints,
                                              const Backend& backend) {
  if (constraints.empty()) return model;
  const double acceptance = constraint_acceptance(*model->make_generator(0, backend), constraints, model->schema());
  if (acceptance < kLeastAcceptance)
    throw UsageError("--constraint: hardly a row of the model holds " + list_of(constraints, model->schema()) +
                     ": leave one out, or fit with --model mixture and more --members");
  return std::make_unique<ConstrainedModel>(std::move(model), std::move(constraints), acceptance);
}

std::unique_ptr<Model> load_constrained_model(std::unique_ptr<Model> model, const ModelFile& file) {
  Constraints constraints = load_constraints(file, model->schema());
  if (constraints.empty()) return model;
  const auto acceptance = file.metadata.find("constraint_acceptance");
  if (acceptance == file.metadata.end() || !acceptance->is_number() || !(acceptance->get<double>() > 0) ||
      acceptance->get<double>() > 1)
    throw InputError("model file: it does not say how many rows hold its constraints");
  return std::make_unique<ConstrainedModel>(std::move(model), std::move(constraints), acceptance->get<double>());
}

}  // namespace doppel
