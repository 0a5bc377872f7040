#include "host/cli/score_images.h"

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "engine/coder.h"
#include "engine/evaluation/value_summary.h"
#include "engine/model.h"
#include "host/cli/given_images.h"
#include "host/cli/open_model.h"
#include "host/contact_sheet.h"
#include "host/manifest.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

// Scores as rows of a table: row, label where there are labels, score, error.
class ImageScores : public Generator {
 public:
  ImageScores(std::shared_ptr<const Coder> coder, const Images& images)
      : coder_(std::move(coder)), images_(images), scores_(static_cast<size_t>(images.count())) {
    const auto add = [&](const std::string& name, ColumnKind kind, SourceType source, Storage storage) {
      OutputColumn& column = schema_.columns.emplace_back();
      column.schema.name = name;
      column.schema.kind = kind;
      column.schema.source = source;
      column.storage = storage;
    };
    add("row", ColumnKind::kInteger, SourceType::kInt64, Storage::kInt64);
    if (!images.labels.empty()) schema_.columns.push_back(coder_->rows().columns.front());
    add("score", ColumnKind::kReal, SourceType::kFloat32, Storage::kFloat32);
    add("error", ColumnKind::kReal, SourceType::kFloat32, Storage::kFloat32);
  }
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t) const override { return coder_->worker_bytes(); }

  // Of the images whose rows have been made.
  const std::vector<ImageScore>& scores() const { return scores_; }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const ImageScores& all) : all_(all), worker_(all.coder_->make_worker()) {}
    // Rows beyond the images are the first again: a job's plan tries more than there may be.
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t count = all_.images_.count();
      for (int64_t done = 0; done < rows;) {
        const auto first =
            static_cast<int64_t>((first_row + static_cast<uint64_t>(done)) % static_cast<uint64_t>(count));
        const int64_t some = std::min(rows - done, count - first);
        worker_->score(all_.images_, first, some, all_.scores_.data() + first);
        for (int64_t i = 0; i < some; ++i) fill_row(first + i, done + i, batch);
        done += some;
      }
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    void fill_row(int64_t image, int64_t row, Batch& batch) const {
      size_t column = 0;
      static_cast<int64_t*>(batch.buffer(column++).values)[row] = image + 1;
      if (!all_.images_.labels.empty())
        static_cast<int32_t*>(batch.buffer(column++).values)[row] = all_.images_.labels[static_cast<size_t>(image)];
      const ImageScore& score = all_.scores_[static_cast<size_t>(image)];
      static_cast<float*>(batch.buffer(column++).values)[row] = static_cast<float>(score.nats);
      static_cast<float*>(batch.buffer(column++).values)[row] = static_cast<float>(score.error);
    }

    const ImageScores& all_;
    std::unique_ptr<CoderWorker> worker_;
  };

  std::shared_ptr<const Coder> coder_;
  const Images& images_;
  OutputSchema schema_;
  mutable std::vector<ImageScore> scores_;  // [images] each written by the sampler that makes its row
};

// Some images in a given order, for a contact sheet.
class ChosenImages : public Generator {
 public:
  ChosenImages(const OutputSchema& schema, const Images& images, const std::vector<int64_t>& order)
      : schema_(schema), images_(images), order_(order) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const ChosenImages& all) : all_(all) {}
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t size = all_.images_.shape.size();
      for (int64_t row = 0; row < rows; ++row) {
        const int64_t image = all_.order_[static_cast<size_t>(first_row) + static_cast<size_t>(row)];
        std::copy_n(all_.images_.image(image), size, batch.images() + row * size);
        if (!all_.images_.labels.empty())
          static_cast<int32_t*>(batch.buffer(0).values)[row] = all_.images_.labels[static_cast<size_t>(image)];
      }
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    const ChosenImages& all_;
  };

  const OutputSchema& schema_;
  const Images& images_;
  const std::vector<int64_t>& order_;
};

// All images, the strangest first.
std::vector<int64_t> order_images(const std::vector<ImageScore>& scores, bool by_error) {
  std::vector<int64_t> order(scores.size());
  std::iota(order.begin(), order.end(), int64_t{0});
  const auto value = [&](int64_t image) {
    const ImageScore& score = scores[static_cast<size_t>(image)];
    return by_error ? score.error : score.nats;
  };
  std::stable_sort(order.begin(), order.end(), [&](int64_t a, int64_t b) { return value(a) > value(b); });
  return order;
}

std::string label_of(const Images& images, int64_t image) {
  if (images.labels.empty()) return "";
  return images.label_names[static_cast<size_t>(images.labels[static_cast<size_t>(image)])];
}

std::string format_score(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", value);
  return text;
}

void print_strange_images(const Images& images, const std::vector<ImageScore>& scores,
                          std::span<const int64_t> strangest) {
  if (strangest.empty()) return;
  TextTable table({">row", "label", ">score, nats", ">error, levels"});
  for (const int64_t image : strangest) {
    const ImageScore& score = scores[static_cast<size_t>(image)];
    table.add(
        {std::to_string(image + 1), label_of(images, image), format_score(score.nats), format_score(score.error)});
  }
  std::fputs(table.text().c_str(), stdout);
}

Json summarise(const std::vector<ImageScore>& scores, double ImageScore::*what, const std::string& unit) {
  std::vector<double> values;
  for (const ImageScore& score : scores) values.push_back(score.*what);
  ValueSummary summary;
  summary.add(values);
  return {{"mean_" + unit, summary.mean()},
          {"median_" + unit, summary.quantile(0.5)},
          {"p99_" + unit, summary.quantile(0.99)},
          {"greatest_" + unit, summary.greatest()}};
}

// Of no format: images are scored, and nothing is written.
JobResult make_scores(const ImageScores& scores, int64_t count, const ImageScoring& command, const Format* format,
                      const CommonOptions& common) {
  if (format != nullptr) {
    const JobPlan plan = plan_rows(scores, count, command.output, *format, common);
    return write_rows(scores, plan, command.output, common);
  }
  Progress progress(count, Progress::style_for(common.quiet));
  return run_sampling(scores, 0, count, common.threads, progress);
}

}  // namespace

void score_images(const ImageScoring& command, const CommonOptions& common) {
  if (command.by == "surprise") throw UsageError("--by surprise is of tables: of images --by is score or error");
  const Format* format = command.output.path.empty() ? nullptr : &check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  const std::shared_ptr<const Coder> coder = opened.model->coder(*backend);
  const Images images = read_images_for(*coder, command.data, command.labels, common);
  const ImageScores generator(coder, images);
  const JobResult result = make_scores(generator, images.count(), command, format, common);
  const std::vector<ImageScore>& scores = generator.scores();
  const std::vector<int64_t> order = order_images(scores, command.by == "error");
  const auto strangest = std::span(order).first(static_cast<size_t>(std::min(command.top, images.count())));
  if (!command.contact_sheet.empty())
    write_contact_sheet(ChosenImages(coder->rows(), images, order), images.count(), command.contact_sheet);

  if (!common.quiet && common.json != "-" && command.output.path != "-")
    print_strange_images(images, scores, strangest);
  const Json nats = summarise(scores, &ImageScore::nats, "nats");
  const Json error = summarise(scores, &ImageScore::error, "levels");
  if (!common.quiet)
    std::fprintf(stderr, "doppel: %s images scored in %s: mean %.2f nats, mean error %.2f levels\n",
                 format_count(static_cast<double>(images.count())).c_str(), format_duration(result.seconds).c_str(),
                 nats["mean_nats"].get<double>(), error["mean_levels"].get<double>());
  Json top = Json::array();
  for (const int64_t image : strangest) {
    Json& row = top.emplace_back(Json{{"row", image + 1},
                                      {"score_nats", scores[static_cast<size_t>(image)].nats},
                                      {"error_levels", scores[static_cast<size_t>(image)].error}});
    if (!images.labels.empty()) row["label"] = label_of(images, image);
  }
  write_json(common, Json{{"command", "score"},
                          {"model", command.model},
                          {"model_checksum", opened.checksum},
                          {"data", command.data},
                          {"output", command.output.path},
                          {"rows", images.count()},
                          {"score", nats},
                          {"error", error},
                          {"top_by", command.by},
                          {"top", top},
                          {"seconds", result.seconds},
                          {"rows_per_s", result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0},
                          {"peak_memory_bytes", peak_memory_bytes()},
                          {"backend", backend->description()},
                          {"versions", program_versions()}});
}

}  // namespace doppel
