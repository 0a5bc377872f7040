#include "engine/completion.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>
#include <unordered_map>
#include <utility>

#include "engine/constrained_rows.h"
#include "engine/put_value.h"
#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "engine/table/profile.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

// Of a column whose texts come with the batch (Batch::texts_read).
class TextsGiven : public TextSource {
 public:
  explicit TextsGiven(size_t longest) : longest_(longest) {}
  void append(uint64_t, uint64_t, std::string&) const override { throw Error("texts given come with their batch"); }
  size_t max_bytes() const override { return longest_; }

 private:
  size_t longest_;
};

int decimals_of(const ColumnSchema& schema) {
  return schema.kind == ColumnKind::kDecimal ? schema.decimals : 0;
}

// From a value as the model has it to the same as the output column has it.
class ValueConverter {
 public:
  ValueConverter() = default;
  ValueConverter(const ColumnSchema& from, const ColumnSchema& to) : from_(from), to_(to) {
    if (!is_discrete(from.kind)) return;
    std::unordered_map<std::string_view, int32_t> codes;
    for (size_t code = 0; code < to.levels.size(); ++code)
      codes.emplace(trimmed(to.levels[code]), static_cast<int32_t>(code));
    for (const std::string& level : from.levels) code_.push_back(codes.at(trimmed(level)));
  }
  SampledValue operator()(SampledValue value) const {
    if (value.is_missing) return value;
    if (is_discrete(from_.kind)) {
      value.integer = code_[static_cast<size_t>(value.integer)];
    } else if (from_.kind == ColumnKind::kDatetime) {
      convert_unit(value.integer, from_.unit, to_.unit, value.integer);
    } else if (is_numeric(from_.kind) && from_.kind != ColumnKind::kReal) {
      rescale_quanta(value.integer, decimals_of(from_), decimals_of(to_), value.integer);
    }
    return value;
  }

 private:
  ColumnSchema from_, to_;
  std::vector<int32_t> code_;
};

// A column of the output.
struct CompletedColumn {
  size_t column = 0;         // of the model
  bool is_given = false;     // by the table
  size_t place = 0;          // among the table's own columns, if given
  ValueConverter converter;  // of values that the model makes, if given
};

// How the table itself writes a column of the model.
ColumnSchema schema_as_is(const ColumnSchema& of_model, const ColumnSchema& of_table) {
  ColumnSchema schema = of_table;
  if (of_table.kind != of_model.kind)
    throw InputError("column '" + of_model.name + "' is of kind " + to_string(of_table.kind) +
                     ", the model's of kind " + to_string(of_model.kind));
  schema.has_missing = schema.has_missing || of_model.has_missing;
  if (is_discrete(of_model.kind)) {
    std::unordered_map<std::string_view, bool> known;
    for (const std::string& level : of_table.levels) known.emplace(trimmed(level), true);
    for (const std::string& level : of_model.levels)
      if (!known.contains(trimmed(level))) schema.levels.push_back(level);
  }
  return schema;
}

Storage storage_as_is(const ColumnSchema& schema) {
  if (schema.kind == ColumnKind::kReal)
    return schema.source == SourceType::kFloat32 ? Storage::kFloat32 : Storage::kFloat64;
  return is_numeric(schema.kind) ? Storage::kInt64 : Storage::kInt32;
}

class CompletionGenerator : public Generator {
 public:
  CompletionGenerator(std::shared_ptr<const Density> density, std::unique_ptr<TableSource> source, Completion how,
                      bool fills_gaps, uint64_t seed, const GivenLimits& limits)
      : density_(std::move(density)),
        how_(how),
        fills_gaps_(fills_gaps),
        seed_(seed),
        limits_(limits),
        rows_(std::make_unique<GivenRows>(std::move(source), limits.table_bytes)),
        gaps_(density_->schema().columns.size()) {
    read();
    infer_own_schema();
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t rows) const override {
    return rows_->fetched_bytes(rows) +
           static_cast<int64_t>(text_bytes_ / static_cast<double>(rows_->rows()) * static_cast<double>(rows)) +
           limits_.worker_bytes;
  }

  // The table's columns in their order.
  void take_own_columns() {
    for (size_t place = 0; place < own_schema_.columns.size(); ++place)
      add_given(density_->schema().find(own_schema_.columns[place].name), place);
  }

  // The model's columns, those that the table lacks as `others` has them.
  void take_all_columns(const OutputSchema& others) {
    for (size_t c = 0; c < knowledge_.size(); ++c) {
      if (knowledge_[c] == Knowledge::kGiven) {
        add_given(c, own_schema_.find(density_->schema().columns[c].name));
      } else {
        schema_.columns.push_back(others.columns[c]);
        columns_.push_back({c, false, 0, {}});
      }
    }
  }

  // After the columns are taken. A row that breaks a constraint by its own cells is left as it is, or refused.
  void hold(const Constraints& constraints, bool refuses) {
    if (how_ == Completion::kDraw)
      checker_ = std::make_unique<ConstraintChecker>(constraints, density_->schema(), table_schema_of(schema_));
    checker_of_given_ = std::make_unique<ConstraintChecker>(constraints, density_->schema(), own_schema_);
    read_own(refuses ? constraints : Constraints());
  }

  Completed describe(std::shared_ptr<const Generator> self) const {
    Completed completed{std::move(self), rows_->rows(), {}, {}};
    for (const CompletedColumn& column : columns_) {
      const int64_t gaps = column.is_given ? gaps_[column.column] : 0;
      completed.filled.push_back(fills(column.column) ? gaps : 0);
      completed.unfilled.push_back(fills(column.column) ? 0 : gaps);
    }
    return completed;
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const CompletionGenerator& all)
        : all_(all),
          worker_(all.density_->make_worker(all.limits_.worker_bytes)),
          reader_(*all.rows_),
          given_converter_(all.converter(all.density_->schema(), true)),
          own_converter_(all.converter(all.own_schema_, false)),
          knowledge_(all.knowledge_.size()),
          values_(knowledge_.size()) {}

    void fetch(uint64_t first_row, int64_t rows) override { reader_.fetch(first_row, rows); }

    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      for (size_t c = 0; c < batch.columns(); ++c)
        if (batch.buffer(c).validity != nullptr)
          std::memset(batch.buffer(c).validity, 0, static_cast<size_t>(rows + 7) / 8);
      batch.texts_read.resize(batch.columns());
      for (ReadTexts& texts : batch.texts_read) texts.clear();
      cells_ = cells_of(all_.schema_, batch);
      reader_.for_each(first_row, rows, [&](const RawChunk& piece, int64_t at) {
        read(piece);
        for (int64_t from = 0; from < piece.rows; ++from)
          fill_row(first_row + static_cast<uint64_t>(at + from), from, at + from, batch);
      });
      batch.seed = all_.seed_;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    void read(const RawChunk& piece) {
      first_of_piece_ = piece.first_row;
      given_converter_.convert(piece, given_);
      own_converter_.convert(piece, own_);
      broken_.resize(static_cast<size_t>(piece.rows + 63) / 64);
      all_.checker_of_given_->find_broken(cells_of(all_.own_schema_, own_), piece.rows, broken_);
    }

    // Row `from` of the piece to `row` of the batch.
    void fill_row(uint64_t global, int64_t from, int64_t row, Batch& batch) {
      put_texts(from, batch);
      bool is_whole = true;
      for (size_t c = 0; c < knowledge_.size(); ++c) {
        knowledge_[c] = all_.knowledge_[c];
        if (knowledge_[c] == Knowledge::kGiven && all_.fills(c) && all_.is_gap(given_, c, from))
          knowledge_[c] = Knowledge::kPresent;
        is_whole = is_whole &&
                   (knowledge_[c] == Knowledge::kGiven || (all_.fills_gaps_ && all_.knowledge_[c] == Knowledge::kNone));
      }
      if (is_whole) return put_row(from, row, batch);
      for (uint64_t draw = 0; draw < kMostDraws; ++draw) {
        const uint64_t number = draw == 0 ? global : candidate_row(draw - 1, global);
        worker_->complete(given_, from, knowledge_, all_.how_, all_.seed_, number, values_);
        put_row(from, row, batch);
        if (all_.checker_ == nullptr || breaks(from) || !all_.checker_->breaks(cells_, row)) return;
      }
      throw InputError(all_.rows_->name() + ": row " + std::to_string(first_of_piece_ + from + 1) +
                       " (the first is row 1): none of " + std::to_string(kMostDraws) +
                       " draws for it holds the model's constraints: leave it out, or change what it gives");
    }

    // By its own cells.
    bool breaks(int64_t from) const { return (broken_[static_cast<size_t>(from / 64)] >> from % 64 & 1) != 0; }

    void put_texts(int64_t from, Batch& batch) const {
      for (size_t i = 0; i < all_.columns_.size(); ++i) {
        const CompletedColumn& column = all_.columns_[i];
        if (!column.is_given || !is_text(all_.own_schema_.columns[column.place])) continue;
        ReadTexts& texts = batch.texts_read[i];
        texts.bytes += own_.columns[column.place].texts[static_cast<size_t>(from)];
        texts.ends.push_back(texts.bytes.size());
      }
    }

    void put_row(int64_t from, int64_t row, Batch& batch) const {
      for (size_t i = 0; i < all_.columns_.size(); ++i) {
        const CompletedColumn& column = all_.columns_[i];
        put_value(all_.schema_.columns[i], batch.buffer(i), row, value_for(column, from));
      }
    }

    SampledValue value_for(const CompletedColumn& column, int64_t from) const {
      const size_t c = column.column;
      const ColumnSchema& schema = all_.density_->schema().columns[c];
      if (!column.is_given) {
        SampledValue value = values_[c];
        value.is_missing = value.is_missing || schema.kind == ColumnKind::kEmpty;
        return value;
      }
      if (knowledge_[c] != Knowledge::kGiven) return column.converter(values_[c]);
      const SampledValue own = value_of(all_.own_schema_.columns[column.place], own_.columns[column.place], from);
      if (!own.is_missing || all_.is_gap(given_, c, from) || !has_values(schema.kind)) return own;
      return column.converter(value_of(schema, given_.columns[c], from));  // a marker that is a level
    }

    const CompletionGenerator& all_;
    std::unique_ptr<DensityWorker> worker_;
    GivenReader reader_;
    TableConverter given_converter_, own_converter_;
    Table given_, own_;  // the piece at hand, as the model reads it and as it is
    int64_t first_of_piece_ = 0;
    std::vector<uint64_t> broken_;  // bits of the piece's rows that break a constraint by their own cells
    std::vector<Knowledge> knowledge_;
    std::vector<SampledValue> values_;
    std::vector<ColumnCells> cells_;  // of the batch
  };

  static bool is_text(const ColumnSchema& schema) {
    return schema.kind == ColumnKind::kKey || schema.kind == ColumnKind::kText;
  }

  TableConverter converter(const TableSchema& schema, bool may_lack) const {
    return {*rows_, schema, [&rows = *rows_](int64_t row, size_t column) { return rows.locate(row, column); },
            may_lack};
  }

  // What the table gives, as the model reads it.
  void read() {
    TableConverter convert = converter(density_->schema(), true);
    for (size_t c = 0; c < gaps_.size(); ++c)
      knowledge_.push_back(convert.has(c) ? Knowledge::kGiven : Knowledge::kNone);
    Table given;
    rows_->rewind();
    for (RawChunk chunk; rows_->next(chunk);) {
      convert.convert(chunk, given);
      for (size_t c = 0; c < gaps_.size(); ++c)
        for (int64_t row = 0; knowledge_[c] == Knowledge::kGiven && row < given.rows; ++row)
          gaps_[c] += is_gap(given, c, row);
    }
  }

  // The table's columns as it has them.
  void infer_own_schema() {
    ProfileOptions options;
    options.counts_duplicates = false;
    options.distinct_bytes = limits_.profile_bytes;
    options.overrides.emplace();
    for (size_t c = 0; c < knowledge_.size(); ++c) {
      if (knowledge_[c] != Knowledge::kGiven) continue;
      ColumnSchema told = density_->schema().columns[c];
      if (told.kind == ColumnKind::kCategory) told.levels.clear();  // the table may have others
      options.overrides->columns.push_back(told);
    }
    if (options.overrides->columns.empty()) throw InputError(rows_->name() + ": has none of the model's columns");
    own_schema_ = profile_table(*rows_, options).schema;
    for (ColumnSchema& column : own_schema_.columns)
      column = schema_as_is(density_->schema().columns[density_->schema().find(column.name)], column);
  }

  // Refuses the first row that breaks the first constraint that some row breaks by its own cells; learns how long texts
  // are. Reads nothing where there is nothing to find.
  void read_own(const Constraints& constraints) {
    const bool has_texts = std::any_of(own_schema_.columns.begin(), own_schema_.columns.end(), is_text);
    if (constraints.empty() && !has_texts) return;
    std::vector<int64_t> first_broken(constraints.size(), -1);
    std::vector<size_t> longest(own_schema_.columns.size());
    TableConverter convert = converter(own_schema_, false);
    Table own;
    rows_->rewind();
    for (RawChunk chunk; rows_->next(chunk);) {
      convert.convert(chunk, own);
      for (size_t i = 0; i < constraints.size(); ++i)
        if (first_broken[i] < 0) first_broken[i] = find_broken(constraints[i], own, chunk.first_row);
      for (size_t place = 0; place < own.columns.size(); ++place)
        for (const std::string& text : own.columns[place].texts) {
          longest[place] = std::max(longest[place], text.size());
          text_bytes_ += static_cast<double>(text.size() + sizeof(size_t));
        }
    }
    for (size_t i = 0; i < constraints.size(); ++i)
      if (first_broken[i] >= 0) refuse(first_broken[i], constraints[i]);
    for (size_t i = 0; i < columns_.size(); ++i)
      if (columns_[i].is_given && is_text(own_schema_.columns[columns_[i].place]))
        schema_.columns[i].texts = std::make_shared<TextsGiven>(longest[columns_[i].place]);
  }

  // The first row that breaks the constraint, or -1.
  int64_t find_broken(const Constraint& constraint, const Table& own, int64_t first_row) const {
    const ConstraintChecker checker({constraint}, density_->schema(), own_schema_);
    std::vector<uint64_t> broken(static_cast<size_t>(own.rows + 63) / 64);
    checker.find_broken(cells_of(own_schema_, own), own.rows, broken);
    for (size_t word = 0; word < broken.size(); ++word)
      if (broken[word] != 0) return first_row + static_cast<int64_t>(word) * 64 + std::countr_zero(broken[word]);
    return -1;
  }

  [[noreturn]] void refuse(int64_t row, const Constraint& constraint) const {
    const TableSchema& known = density_->schema();
    throw InputError(rows_->locate(row, own_schema_.find(known.columns[constraint.columns[0]].name)) + ": row " +
                     std::to_string(row + 1) + " breaks the model's constraint \"" + to_text(constraint, known) +
                     "\": correct it, or leave one of the columns out to have it drawn");
  }

  void add_given(size_t column, size_t place) {
    const ColumnSchema& own = own_schema_.columns[place];
    OutputColumn& output = schema_.columns.emplace_back();
    output.schema = own;
    output.storage = storage_as_is(own);
    columns_.push_back({column, true, place, ValueConverter(density_->schema().columns[column], own)});
  }

  bool fills(size_t column) const { return fills_gaps_ && has_values(density_->schema().columns[column].kind); }
  bool is_gap(const Table& given, size_t column, int64_t row) const {
    return density_->schema().columns[column].kind == ColumnKind::kEmpty || given.columns[column].is_missing(row);
  }

  std::shared_ptr<const Density> density_;
  Completion how_;
  bool fills_gaps_;
  uint64_t seed_;
  GivenLimits limits_;
  std::unique_ptr<GivenRows> rows_;
  std::vector<Knowledge> knowledge_;                     // [columns of the model] kGiven or kNone
  std::vector<int64_t> gaps_;                            // likewise
  TableSchema own_schema_;                               // of the table as it is
  double text_bytes_ = 0;                                // of all its keys and texts
  std::unique_ptr<ConstraintChecker> checker_;           // of rows written; null: they may be anything
  std::unique_ptr<ConstraintChecker> checker_of_given_;  // of the table's rows by themselves
  OutputSchema schema_;
  std::vector<CompletedColumn> columns_;
};

}  // namespace

Completed fill_gaps(std::shared_ptr<const Density> density, std::unique_ptr<TableSource> source, Completion how,
                    uint64_t seed, const Constraints& constraints, const GivenLimits& limits) {
  const auto generator =
      std::make_shared<CompletionGenerator>(std::move(density), std::move(source), how, true, seed, limits);
  generator->take_own_columns();
  generator->hold(constraints, false);
  return generator->describe(generator);
}

Completed complete_columns(std::shared_ptr<const Density> density, std::unique_ptr<TableSource> source,
                           std::shared_ptr<const Generator> unconditional, const Constraints& constraints,
                           const GivenLimits& limits) {
  const auto generator = std::make_shared<CompletionGenerator>(std::move(density), std::move(source), Completion::kDraw,
                                                               false, unconditional->seed(), limits);
  generator->take_all_columns(unconditional->schema());
  generator->hold(constraints, true);
  return generator->describe(generator);
}

}  // namespace doppel
