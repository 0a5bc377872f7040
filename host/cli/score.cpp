// doppel score: how unlikely are a table's rows, and which of their cells make them so? Images: score_images.h.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <mutex>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/evaluation/value_summary.h"
#include "engine/model.h"
#include "engine/table/cells.h"
#include "host/cli/commands.h"
#include "host/cli/given_file.h"
#include "host/cli/given_images.h"
#include "host/cli/open_model.h"
#include "host/cli/rows_output.h"
#include "host/cli/score_images.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kCauses = 3;  // columns named beside a row
constexpr int kDecimals = 4;
constexpr double kQuantaPerNat = 1e4;

constexpr const char* kScoreExamples = R"(
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

An image's score is minus the evidence lower bound of a VAE (under N(0, 1), by four draws of latents) or -log of the
density of its levels under a pca's Gaussian; its error is the root mean square of the differences of levels between
the image and what decode makes of its code. The file written has row, label (where the model knows labels), score and error.

Examples:
  doppel score adult.doppel adult.csv                     the strangest rows, and why
  doppel score adult.doppel new.csv -o scores.parquet     every row with every column's contribution
  doppel score adult.doppel new.csv --by surprise         ordered by the strangest cell: swapped or mistyped values
  doppel score adult.doppel new.csv --json - -q           summary for programs
  doppel score digits.doppel t10k-images-idx3-ubyte.gz --contact-sheet odd.png     ten strangest of each label
)";

struct ScoreCommand {
  std::string model, data, labels, by = "score", contact_sheet;
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

struct Cause {
  std::string column, value;
  double contribution = 0, surprise = 0;
};
struct StrangeRow {
  int64_t row = 0;  // from 0
  double score = 0, surprise = 0;
  std::vector<Cause> causes;
};

// What is told of all rows: the same whichever thread adds which rows, and when.
class Totals {
 public:
  Totals(size_t top, bool by_score) : top_(top), by_score_(by_score) {}

  // Of rows first_row, first_row + 1, ...; describe(i) makes the i-th of them a strange row.
  template <class Describe>
  void add(int64_t first_row, std::span<const double> score, std::span<const double> surprise,
           const Describe& describe) {
    const std::lock_guard lock(mutex_);
    score_.add(score);
    surprise_.add(surprise);
    for (size_t i = 0; i < score.size(); ++i) {
      StrangeRow row{first_row + static_cast<int64_t>(i), score[i], surprise[i], {}};
      const auto comes_first = [&](const StrangeRow& a, const StrangeRow& b) { return is_stranger(a, b); };
      if (top_ == 0 || (strange_.size() == top_ && !is_stranger(row, strange_.front()))) continue;
      if (strange_.size() == top_) {
        std::pop_heap(strange_.begin(), strange_.end(), comes_first);
        strange_.pop_back();
      }
      row.causes = describe(i);
      strange_.push_back(std::move(row));
      std::push_heap(strange_.begin(), strange_.end(), comes_first);
    }
  }

  // The strangest first. Once, when all rows are added.
  std::vector<StrangeRow> take_strange_rows() {
    std::sort(strange_.begin(), strange_.end(),
              [&](const StrangeRow& a, const StrangeRow& b) { return is_stranger(a, b); });
    return std::move(strange_);
  }
  ValueSummary& score() { return score_; }
  ValueSummary& surprise() { return surprise_; }

 private:
  bool is_stranger(const StrangeRow& a, const StrangeRow& b) const {
    const double of_a = by_score_ ? a.score : a.surprise, of_b = by_score_ ? b.score : b.surprise;
    return of_a != of_b ? of_a > of_b : a.row < b.row;
  }

  std::mutex mutex_;
  size_t top_;
  bool by_score_;
  std::vector<StrangeRow> strange_;  // a heap, the least strange at its front
  ValueSummary score_, surprise_;
};

std::string cell_text(const RawField& field, const RawColumn& raw, int64_t row) {
  if (raw.present != nullptr && raw.present[row] == 0) return "";
  if (raw.text_offsets != nullptr) return std::string(raw.text(row));
  return raw.integers != nullptr ? typed_text(raw.integers[row], field.type) : typed_text(raw.reals[row], field.type);
}

// Scores as rows of a table.
class ScoreGenerator : public Generator {
 public:
  // Reads the table once, so that what is wrong with it shows before anything is written.
  ScoreGenerator(const Density& density, const Backend& backend, std::unique_ptr<TableSource> source,
                 const GivenLimits& limits)
      : density_(density),
        backend_(backend),
        limits_(limits),
        rows_(std::make_unique<GivenRows>(std::move(source), limits.table_bytes)) {
    TableConverter convert = converter();
    for (size_t c = 0; c < density.schema().columns.size(); ++c) {
      knowledge_.push_back(convert.has(c) ? Knowledge::kGiven : Knowledge::kNone);
      if (convert.has(c)) shown_.push_back(c);
    }
    if (shown_.empty()) throw InputError(rows_->name() + ": has none of the model's columns");
    Table table;
    rows_->rewind();
    for (RawChunk chunk; rows_->next(chunk);) convert.convert(chunk, table);
    if (rows() == 0) throw InputError(rows_->name() + ": has no rows: there is nothing to score");
    make_schema();
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t rows) const override { return rows_->fetched_bytes(rows) + limits_.worker_bytes; }

  int64_t rows() const { return rows_->rows(); }
  // From now on rows that are made are added to `totals`: not before, as a job's plan tries some.
  void add_to(Totals& totals) { totals_ = &totals; }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const ScoreGenerator& all)
        : all_(all),
          worker_(all.density_.make_worker(all.limits_.worker_bytes, &all.backend_)),
          reader_(*all.rows_),
          converter_(all.converter()) {}

    void fetch(uint64_t first_row, int64_t rows) override { reader_.fetch(first_row, rows); }

    // Rows beyond the table's are the table's again: a job's plan tries more than there may be.
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      reader_.for_each(first_row, rows, [&](const RawChunk& piece, int64_t at) { score_piece(piece, at, batch); });
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    // To the batch's rows from `at` on.
    void score_piece(const RawChunk& piece, int64_t at, Batch& batch) {
      const size_t columns = all_.knowledge_.size(), rows = static_cast<size_t>(piece.rows);
      converter_.convert(piece, table_);
      score_.resize(rows);
      surprise_.resize(rows);
      contribution_.resize(rows * columns);
      usual_.resize(rows * columns);
      worker_->score(table_, 0, piece.rows, all_.knowledge_, score_, contribution_, usual_);
      for (size_t row = 0; row < rows; ++row)
        fill_row(row, piece.first_row + static_cast<int64_t>(row), at + static_cast<int64_t>(row), batch);
      if (all_.totals_ != nullptr)
        all_.totals_->add(piece.first_row, score_, surprise_, [&](size_t row) { return causes_of(row, piece); });
    }

    std::span<const double> of_row(const std::vector<double>& values, size_t row) const {
      const size_t columns = all_.knowledge_.size();
      return std::span(values).subspan(row * columns, columns);
    }

    void fill_row(size_t row, int64_t number, int64_t to, Batch& batch) {
      const std::span<const double> contribution = of_row(contribution_, row), usual = of_row(usual_, row);
      rank_causes(all_.shown_, contribution, usual, rank_);
      surprise_[row] = contribution[rank_[0]] - usual[rank_[0]];
      size_t column = 0;
      const auto put = [&](int64_t value) { static_cast<int64_t*>(batch.buffer(column++).values)[to] = value; };
      put(number + 1);
      put(quanta_of(score_[row]));
      put(quanta_of(surprise_[row]));
      for (const size_t cause : rank_) static_cast<int32_t*>(batch.buffer(column++).values)[to] = all_.place_of(cause);
      for (const size_t c : all_.shown_) put(quanta_of(contribution[c]));
    }

    std::vector<Cause> causes_of(size_t row, const RawChunk& piece) {
      const std::span<const double> contribution = of_row(contribution_, row), usual = of_row(usual_, row);
      rank_causes(all_.shown_, contribution, usual, rank_);
      std::vector<Cause> causes;
      for (const size_t c : rank_) {
        const std::string& name = all_.density_.schema().columns[c].name;
        const std::vector<RawField>& fields = all_.rows_->fields();
        const auto field =
            std::find_if(fields.begin(), fields.end(), [&](const RawField& f) { return f.name == name; });
        const RawColumn& raw = piece.columns[static_cast<size_t>(field - fields.begin())];
        causes.push_back(
            {name, cell_text(*field, raw, static_cast<int64_t>(row)), contribution[c], contribution[c] - usual[c]});
      }
      return causes;
    }

    const ScoreGenerator& all_;
    std::unique_ptr<DensityWorker> worker_;
    GivenReader reader_;
    TableConverter converter_;
    Table table_;
    std::vector<double> score_, surprise_, contribution_, usual_;  // of a piece
    std::vector<size_t> rank_;
  };

  TableConverter converter() const {
    return {*rows_, density_.schema(),
            [&rows = *rows_](int64_t row, size_t column) { return rows.locate(row, column); }, true};
  }
  // Among the columns that DATA has.
  int32_t place_of(size_t column) const {
    return static_cast<int32_t>(std::lower_bound(shown_.begin(), shown_.end(), column) - shown_.begin());
  }

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
  const Backend& backend_;
  GivenLimits limits_;
  std::unique_ptr<GivenRows> rows_;
  std::vector<Knowledge> knowledge_;  // [columns of the model]
  std::vector<size_t> shown_;         // columns that DATA has
  OutputSchema schema_;
  Totals* totals_ = nullptr;
};

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

Json summarise(ValueSummary& values) {
  return {{"mean_nats", values.mean()},
          {"median_nats", values.quantile(0.5)},
          {"p95_nats", values.quantile(0.95)},
          {"p99_nats", values.quantile(0.99)},
          {"greatest_nats", values.greatest()}};
}

Json report(const ScoreCommand& command, Totals& totals, const std::string& checksum,
            const std::vector<StrangeRow>& strange, const JobResult& result, const Backend& backend) {
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
          {"rows", totals.score().count()},
          {"score", summarise(totals.score())},
          {"surprise", summarise(totals.surprise())},
          {"top_by", command.by},
          {"top", rows},
          {"seconds", result.seconds},
          {"rows_per_s", result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0},
          {"peak_memory_bytes", peak_memory_bytes()},
          {"backend", backend.description()},
          {"versions", program_versions()}};
}

// Of no format: rows are scored, not written.
JobResult make_scores(ScoreGenerator& scores, Totals& totals, const ScoreCommand& command, const Format* format,
                      const CommonOptions& common) {
  if (format == nullptr) {
    scores.add_to(totals);
    Progress progress(scores.rows(), Progress::style_for(common.quiet));
    return run_sampling(scores, 0, scores.rows(), common.threads, progress);
  }
  const JobPlan plan = plan_rows(scores, scores.rows(), command.output, *format, common);
  scores.add_to(totals);
  return write_rows(scores, plan, command.output, common);
}

void score(const ScoreCommand& command, const CommonOptions& common) {
  if (is_images(command.data, command.labels))
    return score_images(
        {command.model, command.data, command.labels, command.by, command.contact_sheet, command.output, command.top},
        common);
  if (command.by == "error" || !command.contact_sheet.empty())
    throw UsageError("--by error and --contact-sheet are of images, and '" + command.data + "' is none");
  constexpr int64_t kBytesPerRow = 512;  // of a strange row with its causes
  if (command.top > common.memory_bytes / 4 / kBytesPerRow)
    throw UsageError("--top " + std::to_string(command.top) +
                     " is more rows than fit into a quarter of --memory: give fewer, or -o for all");
  const Format* format = command.output.path.empty() ? nullptr : &check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const std::shared_ptr<const Density> density = opened.model->density();
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  ScoreGenerator scores(*density, *backend, open_given(command.data, common), given_limits(common));
  Totals totals(static_cast<size_t>(command.top), command.by == "score");
  const JobResult result = make_scores(scores, totals, command, format, common);
  const std::vector<StrangeRow> strange = totals.take_strange_rows();
  if (!common.quiet && common.json != "-" && command.output.path != "-") print_strange_rows(strange);
  if (!common.quiet) {
    const Json summary = summarise(totals.score());
    std::fprintf(stderr, "doppel: %s rows scored in %s: mean %.2f nats, median %.2f, 99 %% below %.2f\n",
                 format_count(static_cast<double>(scores.rows())).c_str(), format_duration(result.seconds).c_str(),
                 summary["mean_nats"].get<double>(), summary["median_nats"].get<double>(),
                 summary["p99_nats"].get<double>());
  }
  write_json(common, report(command, totals, opened.checksum, strange, result, *backend));
}

}  // namespace

void add_score_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<ScoreCommand>();
  CLI::App* command =
      app.add_subcommand("score", "Tell how unlikely the rows of a table are, and because of what; or images");
  command->footer(kScoreExamples);
  command
      ->add_option("MODEL", options->model,
                   "Model file made by doppel fit --model mixture; of images: vae, vae-dense or pca")
      ->required()
      ->type_name("M.doppel");
  command->add_option("DATA", options->data, "CSV, Parquet or Arrow file; or images: IDX, NPY, a folder of PNG files")
      ->required()
      ->type_name("DATA");
  add_rows_output(*command, options->output, "Scores and contributions of all rows");
  command->add_option("--top", options->top, "Rows to print")
      ->capture_default_str()
      ->check(CLI::Range(int64_t{0}, int64_t{1'000'000}))
      ->type_name("N");
  command
      ->add_option(
          "--by", options->by,
          "Print the rows of the greatest score, or those of the most surprising cell; of images: score or error")
      ->capture_default_str()
      ->check(CLI::IsMember({"score", "surprise", "error"}))
      ->type_name("WHAT");
  add_labels_option(*command, options->labels);
  command
      ->add_option("--contact-sheet", options->contact_sheet,
                   "Of images: a PNG file of the foremost, ten of each label in a line")
      ->type_name("FILE.png");
  add_common_options(*command, common);
  command->callback([options, &common] {
    install_signal_handlers();
    score(*options, common);
  });
}

}  // namespace doppel
