#include "engine/transcoded_rows.h"

#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <utility>

#include "engine/image/image_schema.h"
#include "engine/models/image/image_metadata.h"
#include "kernels/common/error.h"

namespace doppel {

bool has_labels(const Coder& coder) {
  return coder.rows().has_images() && !coder.rows().columns.empty();
}

namespace {

// "label", z1 .. zk.
OutputSchema code_schema(const Coder& coder) {
  OutputSchema schema;
  if (has_labels(coder)) schema.columns.push_back(coder.rows().columns.front());
  for (int64_t k = 1; k <= coder.width(); ++k) {
    OutputColumn& column = schema.columns.emplace_back();
    column.schema.name = "z" + std::to_string(k);
    column.schema.kind = ColumnKind::kReal;
    column.schema.source = coder.storage() == Storage::kFloat32 ? SourceType::kFloat32 : SourceType::kFloat64;
    column.storage = coder.storage();
  }
  return schema;
}

// Codes [rows, width] into columns from `first_column` on.
void put_codes(const std::vector<double>& codes, int64_t width, Storage storage, int64_t rows, int64_t at,
               size_t first_column, Batch& batch) {
  for (int64_t k = 0; k < width; ++k) {
    void* values = batch.buffer(first_column + static_cast<size_t>(k)).values;
    for (int64_t row = 0; row < rows; ++row) {
      const double code = codes[static_cast<size_t>(row * width + k)];
      if (storage == Storage::kFloat32)
        static_cast<float*>(values)[at + row] = static_cast<float>(code);
      else
        static_cast<double*>(values)[at + row] = code;
    }
  }
}

class CodeGenerator : public Generator {
 public:
  explicit CodeGenerator(std::shared_ptr<const Coder> coder)
      : coder_(std::move(coder)), schema_(code_schema(*coder_)) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return 0; }

 protected:
  int64_t code_bytes(int64_t rows) const { return rows * coder_->width() * static_cast<int64_t>(sizeof(double)); }

  std::shared_ptr<const Coder> coder_;
  OutputSchema schema_;
};

// ---- codes of images

class ImageCodes : public CodeGenerator {
 public:
  ImageCodes(std::shared_ptr<const Coder> coder, Images images)
      : CodeGenerator(std::move(coder)), images_(std::move(images)) {}
  int64_t rows() const { return images_.count(); }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t rows) const override { return code_bytes(rows) + coder_->worker_bytes(); }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const ImageCodes& all) : all_(all), worker_(all.coder_->make_worker()) {}

    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t width = all_.coder_->width(), count = all_.images_.count();
      const size_t labels = has_labels(*all_.coder_) ? 1 : 0;
      for (int64_t done = 0; done < rows;) {
        const auto first =
            static_cast<int64_t>((first_row + static_cast<uint64_t>(done)) % static_cast<uint64_t>(count));
        const int64_t some = std::min(rows - done, count - first);
        codes_.resize(static_cast<size_t>(some * width));
        worker_->encode(all_.images_, first, some, codes_.data());
        if (labels > 0)
          std::copy_n(all_.images_.labels.begin() + first, some, static_cast<int32_t*>(batch.buffer(0).values) + done);
        put_codes(codes_, width, all_.coder_->storage(), some, done, labels, batch);
        done += some;
      }
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    const ImageCodes& all_;
    std::unique_ptr<CoderWorker> worker_;
    std::vector<double> codes_;
  };

  Images images_;
};

// ---- codes of tables

class TableCodes : public CodeGenerator {
 public:
  TableCodes(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source, const GivenLimits& limits)
      : CodeGenerator(std::move(coder)), given_(std::make_unique<GivenRows>(std::move(source), limits.table_bytes)) {
    TableConverter convert = converter();
    for (size_t c = 0; c < coder_->schema().columns.size(); ++c)
      knowledge_.push_back(convert.has(c) ? Knowledge::kGiven : Knowledge::kNone);
    if (std::find(knowledge_.begin(), knowledge_.end(), Knowledge::kGiven) == knowledge_.end())
      throw InputError(given_->name() + ": has none of the model's columns");
    Table table;
    given_->rewind();
    for (RawChunk chunk; given_->next(chunk);) convert.convert(chunk, table);
    if (given_->rows() == 0) throw InputError(given_->name() + ": has no rows: there is nothing to encode");
  }
  int64_t rows() const { return given_->rows(); }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t rows) const override {
    return given_->fetched_bytes(rows) + code_bytes(std::min<int64_t>(rows, 1024)) + coder_->worker_bytes();
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const TableCodes& all)
        : all_(all), worker_(all.coder_->make_worker()), reader_(*all.given_), converter_(all.converter()) {}
    void fetch(uint64_t first_row, int64_t rows) override { reader_.fetch(first_row, rows); }
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const int64_t width = all_.coder_->width();
      reader_.for_each(first_row, rows, [&](const RawChunk& piece, int64_t at) {
        converter_.convert(piece, table_);
        codes_.resize(static_cast<size_t>(piece.rows * width));
        worker_->encode(table_, all_.knowledge_, 0, piece.rows, codes_.data());
        put_codes(codes_, width, all_.coder_->storage(), piece.rows, at, 0, batch);
      });
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    const TableCodes& all_;
    std::unique_ptr<CoderWorker> worker_;
    GivenReader reader_;
    TableConverter converter_;
    Table table_;
    std::vector<double> codes_;
  };

  TableConverter converter() const {
    return {*given_, coder_->schema(),
            [&given = *given_](int64_t row, size_t column) { return given.locate(row, column); }, true};
  }

  std::unique_ptr<GivenRows> given_;
  std::vector<Knowledge> knowledge_;  // [columns of the model]
};

// ---- rows of codes

TableSchema table_schema_of_codes(const Coder& coder) {
  TableSchema schema;
  for (const OutputColumn& column : code_schema(coder).columns) schema.columns.push_back(column.schema);
  return schema;
}

std::string describe_code_columns(const Coder& coder) {
  std::string text = has_labels(coder) ? "label and z1 to z" : "z1 to z";
  return text.append(std::to_string(coder.width()));
}

class DecodedRows : public Generator {
 public:
  DecodedRows(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source, const GivenLimits& limits)
      : coder_(std::move(coder)),
        code_schema_(table_schema_of_codes(*coder_)),
        given_(std::make_unique<GivenRows>(std::move(source), limits.table_bytes)) {
    check_columns();
    TableConverter convert = converter();
    Table table;
    given_->rewind();
    for (RawChunk chunk; given_->next(chunk);) {
      convert.convert(chunk, table);
      check_cells(table, chunk.first_row);
    }
    if (given_->rows() == 0) throw InputError(given_->name() + ": has no rows: there is nothing to decode");
  }
  const OutputSchema& schema() const override { return coder_->rows(); }
  uint64_t seed() const override { return 0; }
  int64_t rows() const { return given_->rows(); }
  std::unique_ptr<RowSampler> make_sampler() const override { return std::make_unique<Sampler>(*this); }
  int64_t sampler_bytes(int64_t rows) const override {
    return given_->fetched_bytes(rows) + coder_->worker_bytes() +
           rows * coder_->width() * static_cast<int64_t>(sizeof(double));
  }

 private:
  class Sampler : public RowSampler {
   public:
    explicit Sampler(const DecodedRows& all)
        : all_(all), worker_(all.coder_->make_worker()), reader_(*all.given_), converter_(all.converter()) {}
    void fetch(uint64_t first_row, int64_t rows) override { reader_.fetch(first_row, rows); }
    void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
      const auto width = static_cast<size_t>(all_.coder_->width());
      const size_t labels = has_labels(*all_.coder_) ? 1 : 0;
      codes_.resize(static_cast<size_t>(rows) * width);
      labels_.resize(static_cast<size_t>(rows));
      reader_.for_each(first_row, rows, [&](const RawChunk& piece, int64_t at) {
        converter_.convert(piece, table_);
        for (int64_t row = 0; row < piece.rows; ++row) {
          const auto to = static_cast<size_t>(at + row);
          if (labels > 0) labels_[to] = table_.columns[0].codes[static_cast<size_t>(row)];
          for (size_t k = 0; k < width; ++k)
            codes_[to * width + k] = table_.columns[labels + k].reals[static_cast<size_t>(row)];
        }
      });
      worker_->decode(codes_.data(), labels_.data(), rows, batch);
      batch.seed = 0;
      batch.first_row = first_row;
      batch.rows = rows;
    }

   private:
    const DecodedRows& all_;
    std::unique_ptr<CoderWorker> worker_;
    GivenReader reader_;
    TableConverter converter_;
    Table table_;
    std::vector<double> codes_;
    std::vector<int32_t> labels_;
  };

  TableConverter converter() const {
    return {*given_, code_schema_,
            [&given = *given_](int64_t row, size_t column) { return given.locate(row, column); }};
  }

  // Codes of another model, or none: said in the words of codes.
  void check_columns() const {
    const std::vector<RawField>& fields = given_->fields();
    const bool are_codes =
        fields.size() == code_schema_.columns.size() &&
        std::all_of(code_schema_.columns.begin(), code_schema_.columns.end(), [&](const auto& wanted) {
          return std::any_of(fields.begin(), fields.end(),
                             [&](const RawField& field) { return field.name == wanted.name; });
        });
    if (are_codes) return;
    std::string has;
    constexpr size_t kShown = 6;
    for (size_t i = 0; i < std::min(fields.size(), kShown); ++i) has += (i == 0 ? "'" : ", '") + fields[i].name + "'";
    if (fields.size() > kShown) has += " and " + std::to_string(fields.size() - kShown) + " more";
    throw InputError(given_->name() + ": has the columns " + has + ", and codes of this model have " +
                     describe_code_columns(*coder_) + ": doppel encode with this model makes them");
  }

  void check_cells(const Table& table, int64_t first_row) const {
    const size_t labels = has_labels(*coder_) ? 1 : 0;
    for (size_t c = 0; c < table.columns.size(); ++c) {
      const Column& column = table.columns[c];
      for (int64_t row = 0; row < table.rows; ++row) {
        const auto at = static_cast<size_t>(row);
        if (column.is_missing(row)) refuse(first_row + row, c, "is missing");
        if (c < labels && column.codes[at] == kUnseenCode) refuse(first_row + row, c, "is none that the model knows");
        if (c >= labels && !std::isfinite(column.reals[at])) refuse(first_row + row, c, "is not finite");
      }
    }
  }

  [[noreturn]] void refuse(int64_t row, size_t column, const std::string& what) const {
    const std::string& name = code_schema_.columns[column].name;
    const std::vector<RawField>& fields = given_->fields();
    const auto field = std::find_if(fields.begin(), fields.end(), [&](const RawField& f) { return f.name == name; });
    throw InputError(given_->locate(row, static_cast<size_t>(field - fields.begin())) + ": the " +
                     (name == "label" ? "label " : "code ") + what + " (column '" + name + "')");
  }

  std::shared_ptr<const Coder> coder_;
  TableSchema code_schema_;
  std::unique_ptr<GivenRows> given_;
};

template <class Rows>
TranscodedRows coded(std::shared_ptr<const Rows> generator) {
  const int64_t rows = generator->rows();
  return {std::move(generator), rows};
}

}  // namespace

Images labelled_for(const Coder& coder, Images images, const std::string& name) {
  if (!coder.rows().has_images())
    throw InputError(name + ": is images, and the model is of a table: give it a table, or a model of images");
  try {
    check_image_shape(images, coder.rows().image);
  } catch (const InputError& error) {
    throw InputError(name + ": " + error.what());
  }
  if (!has_labels(coder)) {
    images.labels.clear();
    images.label_names.clear();
    return images;
  }
  if (images.labels.empty())
    throw InputError(name +
                     ": has no labels beside it, and the model describes an image together with its label: name " +
                     "their file with --labels");
  const std::vector<std::string>& known = coder.rows().columns.front().schema.levels;
  std::unordered_map<std::string, int32_t> numbers;
  for (size_t i = 0; i < known.size(); ++i) numbers.emplace(known[i], static_cast<int32_t>(i));
  std::vector<int32_t> number;  // of each of the images' label names
  for (const std::string& label : images.label_names) {
    const auto found = numbers.find(label);
    if (found == numbers.end())
      throw InputError(name + ": has images of the label '" + label + "', which the model does not know");
    number.push_back(found->second);
  }
  for (int32_t& label : images.labels) label = number[static_cast<size_t>(label)];
  images.label_names = known;
  return images;
}

TranscodedRows encode_table(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source,
                            const GivenLimits& limits) {
  if (coder->rows().has_images())
    throw InputError(source->name() +
                     ": is a table, and the model is of images: give it images, or a model of a table");
  return coded(std::make_shared<const TableCodes>(std::move(coder), std::move(source), limits));
}

TranscodedRows encode_images(std::shared_ptr<const Coder> coder, Images images) {
  return coded(std::make_shared<const ImageCodes>(std::move(coder), std::move(images)));
}

TranscodedRows decode_codes(std::shared_ptr<const Coder> coder, std::unique_ptr<TableSource> source,
                            const GivenLimits& limits) {
  return coded(std::make_shared<const DecodedRows>(std::move(coder), std::move(source), limits));
}

}  // namespace doppel
