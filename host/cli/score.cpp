// doppel score: how unlikely are a table's rows, and which of their cells make them so?
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>
#include <vector>

#include "engine/model.h"
#include "engine/table/cells.h"
#include "host/cli/commands.h"
#include "host/cli/open_model.h"
#include "host/cli/rows_output.h"
#include "host/cli/text_table.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "host/readers/reader.h"
#include "host/readers/watched_table.h"
#include "host/scheduler.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kCauses = 3;  // columns named beside a row
constexpr int kDecimals = 4;
constexpr double kQuantaPerNat = 1e4;

constexpr const char* kExamples = R"(
A row's score is -log p(row) in nats (1 nat = 1.44 bits): the higher, the stranger. p is the model's density. It gives
probabilities to levels, to special values of numbers (a frequent 0) and to being missing; for all other numbers it is a
density on the axis of normal scores, on which each column is about a standard normal. Keys and texts count only as
present or missing. A column's contribution is -log p(its value | the rest of the row): what the score falls by when
that cell is taken as unknown (contributions do not sum to the score). Its surprise is the contribution less -log p(its
value) at large: a rare value is no surprise where it belongs, a common one is where it does not. Causes are ranked by
surprise; by it swapped and mistyped cells show in otherwise ordinary rows.
A level, a combination or a special value that the model never saw counts as 1 row in (rows learned from + 1).
Columns that DATA lacks are unknown: scores are those of the columns it has.

The file written has a row for each row of DATA, in its order: row (from 1), score, surprise (the greatest), cause_1 ...
(the columns of the greatest surprises), and "contribution.COLUMN" for each column.

Examples:
  doppel score adult.doppel adult.csv                     the strangest rows, and why
  doppel score adult.doppel new.csv -o scores.parquet     every row with every column's contribution
  doppel score adult.doppel new.csv --by surprise         ordered by the strangest cell: swapped or mistyped values
  doppel score adult.doppel new.csv --json - -q           summary for programs
)";

struct ScoreCommand {
  std::string model, data, by = "score";
  RowsOutput output;
  int64_t top = 10;
};

int64_t quanta_of(double nats) {
  constexpr double kMost = 1e12;
  return static_cast<int64_t>(std::nearbyint(std::clamp(nats, -kMost, kMost) * kQuantaPerNat));
}

// The columns of the greatest surprises, the greatest first.
void rank_causes(const std::vector<size_t>& columns, std::span<const double> contribution,
                 std::span<const double> usual, std::vector<size_t>& rank) {
  rank = columns;
  const size_t causes = std::min(kCauses, rank.size());
  std::partial_sort(rank.begin(), rank.begin() + static_cast<std::ptrdiff_t>(causes), rank.end(),
                    [&](size_t a, size_t b) {
                      const double of_a = contribution[a] - usual[a], of_b = contribution[b] - usual[b];
                      return of_a != of_b ? of_a > of_b : a < b;
                    });
  rank.resize(causes);
}

// Scores as rows of a table. Notes each row's score and greatest surprise on the way.
class ScoreGenerator : public Generator {
 public:
  ScoreGenerator(const Density& density, const GivenTable& given) : density_(density), given_(given) {
    for (size_t c = 0; c < given.knowledge.size(); ++c)
      if (given.knowledge[c] == Knowledge::kGiven) shown_.push_back(c);
    score.resize(static_cast<size_t>(given.table.rows));
    surprise.resize(score.size());
    make_schema();
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

  const GivenTable& given() const { return given_; }
  const Density& density() const { return density_; }
  const std::vector<size_t>& shown() const { return shown_; }  // columns that DATA has
  int32_t place_of(size_t column) const {                      // among those
    return static_cast<int32_t>(std::lower_bound(shown_.begin(), shown_.end(), column) - shown_.begin());
  }

  // [rows] Each row is written by whoever samples it, always to the same numbers.
  mutable std::vector<double> score, surprise;

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const ScoreGenerator& scores) : scores_(scores), worker_(scores.density().make_worker()) {}

    // Rows beyond the table's are the table's again: a job's plan probes the encoder with more than there may be.
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t all = scores_.given().table.rows;
      for (int64_t row = 0; row < rows;) {
        const auto from = static_cast<int64_t>((first_row + static_cast<uint64_t>(row)) % static_cast<uint64_t>(all));
        const int64_t count = std::min(rows - row, all - from);
        score_rows(from, count, row, batch);
        row += count;
      }
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    // Rows from .. from + count - 1 of the table, to the batch's from row `to` on.
    void score_rows(int64_t from, int64_t count, int64_t to, Batch& batch) {
      const GivenTable& given = scores_.given();
      const size_t columns = given.knowledge.size(), rows = static_cast<size_t>(count);
      contribution_.resize(rows * columns);
      usual_.resize(rows * columns);
      worker_->score(given.table, from, count, given.knowledge,
                     std::span(scores_.score).subspan(static_cast<size_t>(from), rows), contribution_, usual_);
      for (size_t row = 0; row < rows; ++row)
        fill_row(static_cast<size_t>(from) + row, std::span(contribution_).subspan(row * columns, columns),
                 std::span(usual_).subspan(row * columns, columns), to + static_cast<int64_t>(row), batch);
    }

    void fill_row(size_t at, std::span<const double> contribution, std::span<const double> usual, int64_t row,
                  Batch& batch) {
      rank_causes(scores_.shown(), contribution, usual, rank_);
      scores_.surprise[at] = contribution[rank_[0]] - usual[rank_[0]];
      size_t column = 0;
      const auto put = [&](int64_t value) { static_cast<int64_t*>(batch.buffer(column++).values)[row] = value; };
      put(static_cast<int64_t>(at) + 1);
      put(quanta_of(scores_.score[at]));
      put(quanta_of(scores_.surprise[at]));
      for (const size_t cause : rank_)
        static_cast<int32_t*>(batch.buffer(column++).values)[row] = scores_.place_of(cause);
      for (const size_t c : scores_.shown()) put(quanta_of(contribution[c]));
    }

    const ScoreGenerator& scores_;
    std::unique_ptr<DensityWorker> worker_;
    std::vector<double> contribution_, usual_;
    std::vector<size_t> rank_;
  };

  void make_schema() {
    const auto add = [&](const std::string& name, ColumnKind kind, SourceType source) -> ColumnSchema& {
      OutputColumn& column = schema_.columns.emplace_back();
      column.storage = kind == ColumnKind::kCategory ? Storage::kInt32 : Storage::kInt64;
      column.schema.name = name;
      column.schema.kind = kind;
      column.schema.source = source;
      column.schema.decimals = kind == ColumnKind::kDecimal ? kDecimals : 0;
      return column.schema;
    };
    const std::vector<ColumnSchema>& columns = density_.schema().columns;
    add("row", ColumnKind::kInteger, SourceType::kInt64);
    add("score", ColumnKind::kDecimal, SourceType::kFloat64);
    add("surprise", ColumnKind::kDecimal, SourceType::kFloat64);
    for (size_t cause = 0; cause < std::min(kCauses, shown_.size()); ++cause) {
      ColumnSchema& schema = add("cause_" + std::to_string(cause + 1), ColumnKind::kCategory, SourceType::kString);
      for (const size_t c : shown_) schema.levels.push_back(columns[c].name);
    }
    for (const size_t c : shown_) add("contribution." + columns[c].name, ColumnKind::kDecimal, SourceType::kFloat64);
  }

  const Density& density_;
  const GivenTable& given_;
  std::vector<size_t> shown_;
  OutputSchema schema_;
};

struct Cause {
  std::string column, value;
  double contribution = 0, surprise = 0;
};
struct StrangeRow {
  int64_t row = 0;  // from 0
  double score = 0, surprise = 0;
  std::vector<Cause> causes;
};

std::string cell_text(const RawField& field, const RawColumn& raw, int64_t row) {
  if (raw.present != nullptr && raw.present[row] == 0) return "";
  if (raw.text_offsets != nullptr) return std::string(raw.text(row));
  return raw.integers != nullptr ? typed_text(raw.integers[row], field.type) : typed_text(raw.reals[row], field.type);
}

// The `top` strangest rows, the strangest first, with their causes and, from the source read again, their cells.
std::vector<StrangeRow> find_strange_rows(const ScoreGenerator& scores, const ScoreCommand& command,
                                          TableSource& source) {
  const std::vector<double>& by = command.by == "score" ? scores.score : scores.surprise;
  std::vector<int64_t> order(by.size());
  std::iota(order.begin(), order.end(), 0);
  const size_t top = std::min(order.size(), static_cast<size_t>(command.top));
  std::partial_sort(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(top), order.end(),
                    [&](int64_t a, int64_t b) {
                      const double of_a = by[static_cast<size_t>(a)], of_b = by[static_cast<size_t>(b)];
                      return of_a != of_b ? of_a > of_b : a < b;
                    });
  const std::vector<ColumnSchema>& columns = scores.density().schema().columns;
  const auto worker = scores.density().make_worker();
  std::vector<StrangeRow> strange;
  std::vector<double> contribution(columns.size()), usual(columns.size());
  std::vector<size_t> rank;
  for (size_t i = 0; i < top; ++i) {
    StrangeRow& found = strange.emplace_back();
    found.row = order[i];
    worker->score(scores.given().table, found.row, 1, scores.given().knowledge, std::span(&found.score, 1),
                  contribution, usual);
    rank_causes(scores.shown(), contribution, usual, rank);
    found.surprise = contribution[rank[0]] - usual[rank[0]];
    for (const size_t c : rank)
      found.causes.push_back({columns[c].name, "", contribution[c], contribution[c] - usual[c]});
  }
  source.rewind();
  for (RawChunk chunk; source.next(chunk);)
    for (StrangeRow& found : strange) {
      if (found.row < chunk.first_row || found.row >= chunk.first_row + chunk.rows) continue;
      for (Cause& cause : found.causes)
        for (size_t f = 0; f < source.fields().size(); ++f)
          if (source.fields()[f].name == cause.column)
            cause.value = cell_text(source.fields()[f], chunk.columns[f], found.row - chunk.first_row);
    }
  return strange;
}

std::string format_nats(double nats) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", nats);
  return text;
}

void print_strange_rows(const std::vector<StrangeRow>& rows) {
  if (rows.empty()) return;
  TextTable table({">row", ">score", ">surprise", "because of (surprise)"});
  for (const StrangeRow& row : rows) {
    std::string causes;
    for (const Cause& cause : row.causes)
      causes += (causes.empty() ? "" : ", ") + shorten_text(cause.column, 24) + " = " +
                (cause.value.empty() ? "(missing)" : shorten_text(cause.value, 24)) + " (" +
                format_nats(cause.surprise) + ")";
    table.add({std::to_string(row.row + 1), format_nats(row.score), format_nats(row.surprise), causes});
  }
  std::printf("%s", table.text().c_str());
}

// Quantiles by rank; 0 of no rows.
Json summarise(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double share) {
    return values.empty() ? 0.0 : values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
  };
  const double sum = std::accumulate(values.begin(), values.end(), 0.0);
  return {{"mean_nats", values.empty() ? 0.0 : sum / static_cast<double>(values.size())},
          {"median_nats", quantile(0.5)},
          {"p95_nats", quantile(0.95)},
          {"p99_nats", quantile(0.99)},
          {"greatest_nats", quantile(1)}};
}

Json report(const ScoreCommand& command, const ScoreGenerator& scores, const std::string& checksum,
            const std::vector<StrangeRow>& strange, const JobResult& result) {
  Json rows = Json::array();
  for (const StrangeRow& row : strange) {
    Json causes = Json::array();
    for (const Cause& cause : row.causes)
      causes.push_back({{"column", cause.column},
                        {"value", cause.value},
                        {"contribution_nats", cause.contribution},
                        {"surprise_nats", cause.surprise}});
    rows.push_back(
        {{"row", row.row + 1}, {"score_nats", row.score}, {"surprise_nats", row.surprise}, {"causes", causes}});
  }
  return {{"command", "score"},
          {"model", command.model},
          {"model_checksum", checksum},
          {"data", command.data},
          {"output", command.output.path},
          {"rows", scores.given().table.rows},
          {"score", summarise(scores.score)},
          {"surprise", summarise(scores.surprise)},
          {"top_by", command.by},
          {"top", rows},
          {"seconds", result.seconds},
          {"rows_per_s", result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0},
          {"versions", program_versions()}};
}

void score(const ScoreCommand& command, const CommonOptions& common) {
  const Format* format = command.output.path.empty() ? nullptr : &check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const std::shared_ptr<const Density> density = opened.model->density();
  const std::unique_ptr<TableSource> source = watch_table(open_table(command.data));
  const GivenTable given = read_given(*source, density->schema());
  if (std::find(given.knowledge.begin(), given.knowledge.end(), Knowledge::kGiven) == given.knowledge.end())
    throw InputError(command.data + ": has none of the model's columns");
  if (given.table.rows == 0) throw InputError(command.data + ": has no rows: there is nothing to score");
  const ScoreGenerator scores(*density, given);
  JobResult result;
  if (format != nullptr) {
    result = write_rows(scores, given.table.rows, command.output, *format, common);
  } else {
    Progress progress(given.table.rows, Progress::style_for(common.quiet));
    result = run_sampling(scores, 0, given.table.rows, common.threads, progress);
  }
  const std::vector<StrangeRow> strange = find_strange_rows(scores, command, *source);
  if (!common.quiet && common.json != "-" && command.output.path != "-") print_strange_rows(strange);
  if (!common.quiet) {
    const Json summary = summarise(scores.score);
    std::fprintf(stderr, "doppel: %s rows scored in %s: mean %.2f nats, median %.2f, 99 %% below %.2f\n",
                 format_count(static_cast<double>(given.table.rows)).c_str(), format_duration(result.seconds).c_str(),
                 summary["mean_nats"].get<double>(), summary["median_nats"].get<double>(),
                 summary["p99_nats"].get<double>());
  }
  write_json(common, report(command, scores, opened.checksum, strange, result));
}

}  // namespace

void add_score_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<ScoreCommand>();
  CLI::App* command = app.add_subcommand("score", "Tell how unlikely the rows of a table are, and because of what");
  command->footer(kExamples);
  command->add_option("MODEL", options->model, "Model file made by doppel fit --model mixture")
      ->required()
      ->type_name("M.doppel");
  command->add_option("DATA", options->data, "CSV, Parquet or Arrow file")->required()->type_name("DATA");
  add_rows_output(*command, options->output, "Scores and contributions of all rows");
  command->add_option("--top", options->top, "Rows to print")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))
      ->type_name("N");
  command->add_option("--by", options->by, "Print the rows of the greatest score, or those of the most surprising cell")
      ->capture_default_str()
      ->check(CLI::IsMember({"score", "surprise"}))
      ->type_name("WHAT");
  add_common_options(*command, common);
  command->callback([options, &common] {
    install_signal_handlers();
    score(*options, common);
  });
}

}  // namespace doppel
