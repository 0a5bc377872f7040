#include "engine/table/table.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "engine/table/profile.h"
#include "kernels/common/error.h"

namespace doppel {

namespace {

// `value` rounded to quanta of 10^-decimals; false where that does not fit int64.
bool quanta_of(double value, int decimals, int64_t& quanta) {
  const double scaled = std::nearbyint(value * static_cast<double>(power_of_ten(decimals)));
  constexpr double kLimit = 9.2e18;
  if (!(scaled >= -kLimit && scaled <= kLimit)) return false;
  quanta = static_cast<int64_t>(scaled);
  return true;
}

using Locate = TableConverter::Locate;

Locate locate_in(TableSource& source) {
  return [&source](int64_t row, size_t column) { return source.locate(row, column); };
}

// What the cells of a column become. One object a column and call: it holds what looking cells up needs.
class ColumnConverter {
 public:
  ColumnConverter(const ColumnSchema& schema, const RawField& field, size_t index)
      : schema_(schema), field_(field), index_(index), markers_(ProfileOptions().missing_markers) {
    if (schema.kind == ColumnKind::kDatetime && is_text())
      format_ = DatetimeFormat(schema.datetime_format, schema.unit);
    for (size_t code = 0; code < schema.levels.size(); ++code) {
      codes_.emplace(trimmed(schema.levels[code]), static_cast<int32_t>(code));
    }
    missing_text_ = trimmed(schema.missing_text);
    has_missing_text_ = schema.has_missing && !missing_text_.empty();
  }

  void convert(const RawChunk& chunk, const RawColumn& raw, const Locate& locate, Column& column) {
    first_row_ = chunk.first_row;
    begin_ = column_rows(column);
    column.missing.resize(begin_ + static_cast<size_t>(chunk.rows));
    resize_values(column, column.missing.size());
    if (raw.text_offsets != nullptr) {
      convert_texts(chunk.rows, raw, locate, column);
    } else if (raw.integers != nullptr) {
      convert_numbers(chunk.rows, raw, raw.integers, locate, column);
    } else if (raw.reals != nullptr) {
      convert_numbers(chunk.rows, raw, raw.reals, locate, column);
    } else {
      throw Error("column '" + schema_.name + "': the chunk has no values");
    }
  }

  static size_t column_rows(const Column& column) { return column.missing.size(); }

 private:
  bool is_text() const { return field_.type == SourceType::kText || field_.type == SourceType::kString; }

  void resize_values(Column& column, size_t rows) const {
    switch (schema_.kind) {
      case ColumnKind::kInteger:
      case ColumnKind::kDecimal:
      case ColumnKind::kDatetime:
        column.quanta.resize(rows);
        break;
      case ColumnKind::kReal:
        column.reals.resize(rows);
        break;
      case ColumnKind::kBoolean:
      case ColumnKind::kCategory:
        column.codes.resize(rows);
        break;
      case ColumnKind::kKey:
      case ColumnKind::kText:
        column.texts.resize(rows);
        break;
      case ColumnKind::kConstant:
      case ColumnKind::kEmpty:
        break;
    }
  }

  void convert_texts(int64_t rows, const RawColumn& raw, const Locate& locate, Column& column) {
    for (int64_t row = 0; row < rows; ++row) {
      const size_t at = begin_ + static_cast<size_t>(row);
      const std::string_view cell = raw.text(row), text = trimmed(cell);
      const bool is_there = raw.present == nullptr || raw.present[row] != 0;
      const bool is_value = is_there && !text.empty() && !(has_missing_text_ && text == missing_text_);
      if (is_value && convert_text(cell, text, at, column)) continue;
      if (is_value && !is_missing(text)) fail(row, cell, locate);
      set_missing(at, column);
    }
  }

  // Values come before markers: "NA" is missing only where it is no level.
  bool convert_text(std::string_view cell, std::string_view text, size_t at, Column& column) {
    switch (schema_.kind) {
      case ColumnKind::kInteger:
      case ColumnKind::kDecimal:
        return convert_quanta(text, column.quanta[at]);
      case ColumnKind::kReal: {
        const Number number = parse_number(text);
        if (number.form == NumberForm::kNone) return false;
        column.reals[at] = real_of(number, text);
        return true;
      }
      case ColumnKind::kBoolean:
      case ColumnKind::kCategory:
        return find_code(text, column.codes[at]) || take_unseen(text, column.codes[at]);
      case ColumnKind::kDatetime: {
        const std::optional<int64_t> instant = format_.parse(text);
        column.quanta[at] = instant.value_or(0);
        return instant.has_value();
      }
      case ColumnKind::kKey:
      case ColumnKind::kText:
        if (is_missing(text)) return false;
        column.texts[at] = cell;
        return true;
      case ColumnKind::kConstant: {
        int32_t code = 0;
        return find_code(text, code);
      }
      case ColumnKind::kEmpty:
        break;
    }
    return false;
  }

  bool convert_quanta(std::string_view text, int64_t& quanta) const {
    const Number number = parse_number(text);
    const bool is_whole = schema_.kind == ColumnKind::kInteger;
    switch (number.form) {
      case NumberForm::kInteger:
      case NumberForm::kDecimal: {
        const int decimals = is_whole ? 0 : schema_.decimals;
        int64_t back = 0;
        return rescale_quanta(number.quanta, number.decimals, decimals, quanta) &&
               (!is_whole || (scale_by_ten(quanta, number.decimals, back) && back == number.quanta));
      }
      case NumberForm::kReal:
        return (!is_whole || number.real == std::nearbyint(number.real)) &&
               quanta_of(number.real, is_whole ? 0 : schema_.decimals, quanta);
      default:
        return false;
    }
  }

  bool find_code(std::string_view text, int32_t& code) const {
    const auto at = codes_.find(text);
    if (at == codes_.end()) return false;
    code = at->second;
    return true;
  }

  bool take_unseen(std::string_view text, int32_t& code) const {
    if (schema_.kind == ColumnKind::kBoolean || is_missing(text)) return false;
    code = kUnseenCode;
    return true;
  }

  bool is_missing(std::string_view text) const {
    if (markers_.contains(text)) return true;
    const bool is_number = schema_.kind == ColumnKind::kInteger || schema_.kind == ColumnKind::kDecimal ||
                           schema_.kind == ColumnKind::kReal;
    return is_number && is_infinity(text);
  }

  template <class Value>
  void convert_numbers(int64_t rows, const RawColumn& raw, const Value* values, const Locate& locate, Column& column) {
    for (int64_t row = 0; row < rows; ++row) {
      const size_t at = begin_ + static_cast<size_t>(row);
      bool is_there = raw.present == nullptr || raw.present[row] != 0;
      if constexpr (std::is_same_v<Value, double>) is_there = is_there && std::isfinite(values[row]);
      if (!is_there) {
        set_missing(at, column);
      } else if (!convert_number(values[row], at, column)) {
        fail(row, typed_text(values[row], field_.type), locate);
      }
    }
  }

  template <class Value>
  bool convert_number(Value value, size_t at, Column& column) {
    switch (schema_.kind) {
      case ColumnKind::kInteger:
        if constexpr (std::is_same_v<Value, double>)
          return value == std::nearbyint(value) && quanta_of(value, 0, column.quanta[at]);
        else
          column.quanta[at] = value;
        return true;
      case ColumnKind::kDecimal:
        if constexpr (std::is_same_v<Value, double>)
          return quanta_of(value, schema_.decimals, column.quanta[at]);
        else
          return scale_by_ten(value, schema_.decimals, column.quanta[at]);
      case ColumnKind::kReal:
        column.reals[at] = static_cast<double>(value);
        return true;
      case ColumnKind::kDatetime:
        if constexpr (std::is_same_v<Value, int64_t>) {
          if (field_.type == SourceType::kDate32)
            return convert_unit(value, TimeUnit::kDay, schema_.unit, column.quanta[at]);
          if (field_.type == SourceType::kTimestamp)
            return convert_unit(value, field_.unit, schema_.unit, column.quanta[at]);
        }
        return false;
      default: {
        const std::string text = typed_text(value, field_.type);
        return convert_text(text, text, at, column);
      }
    }
  }

  void set_missing(size_t at, Column& column) {
    column.missing[at] = 1;
    if (!column.quanta.empty()) column.quanta[at] = 0;
    if (!column.reals.empty()) column.reals[at] = 0;
    if (!column.codes.empty()) column.codes[at] = 0;
    if (!column.texts.empty()) column.texts[at].clear();
  }

  [[noreturn]] void fail(int64_t row, std::string_view cell, const Locate& locate) const {
    std::string what;
    switch (schema_.kind) {
      case ColumnKind::kInteger:
        what = "is not a whole number";
        break;
      case ColumnKind::kDecimal:
      case ColumnKind::kReal:
        what = "is not a number";
        break;
      case ColumnKind::kDatetime:
        what = "is not a date or time" +
               (schema_.datetime_format.empty() ? std::string() : " of the form " + schema_.datetime_format);
        break;
      case ColumnKind::kConstant:
        what = "is not the column's one value";
        break;
      case ColumnKind::kEmpty:
        what = "is a value in a column that has none";
        break;
      default:
        what = "is none of the column's levels";
    }
    throw InputError(locate(first_row_ + row, index_) + ": '" + std::string(cell.substr(0, 100)) + "' " + what +
                     " (column '" + schema_.name + "'): correct it, or give the column another kind in the schema");
  }

  const ColumnSchema& schema_;
  RawField field_;  // not a reference: sources make their fields anew in every pass
  size_t index_;
  MissingMarkers markers_;
  std::string_view missing_text_;
  bool has_missing_text_ = false;
  DatetimeFormat format_;
  std::unordered_map<std::string_view, int32_t> codes_;  // of the levels without blanks around them
  int64_t first_row_ = 0;
  size_t begin_ = 0;  // of the chunk in the column
};

void check_columns(const TableSource& source, const TableSchema& schema) {
  if (source.fields().size() == schema.columns.size()) return;
  throw Error(source.name() + ": has " + std::to_string(source.fields().size()) + " columns, the schema " +
              std::to_string(schema.columns.size()));
}

constexpr size_t kLacking = SIZE_MAX;

// Column j of the schema is field order[j] of the source, or kLacking.
std::vector<size_t> match_columns(const TableSource& source, const TableSchema& schema, bool may_lack) {
  std::unordered_map<std::string_view, size_t> fields;
  for (size_t index = 0; index < source.fields().size(); ++index) fields.emplace(source.fields()[index].name, index);
  std::vector<size_t> order;
  std::string missing;
  for (const ColumnSchema& column : schema.columns) {
    const auto at = fields.find(column.name);
    if (at == fields.end()) {
      order.push_back(kLacking);
      if (!may_lack) missing += (missing.empty() ? "'" : ", '") + column.name + "'";
      continue;
    }
    order.push_back(at->second);
    fields.erase(at);
  }
  std::string unknown;
  for (const RawField& field : source.fields()) {
    if (fields.contains(field.name)) unknown += (unknown.empty() ? "'" : ", '") + field.name + "'";
  }
  if (missing.empty() && unknown.empty()) return order;
  throw InputError(source.name() + ": " + (missing.empty() ? "" : "lacks the columns " + missing) +
                   (missing.empty() || unknown.empty() ? "" : " and ") +
                   (unknown.empty() ? "" : "has columns that the schema does not know: " + unknown));
}

// A column without a gap has no bytes that say so.
void drop_needless(std::vector<uint8_t>& missing) {
  if (std::find(missing.begin(), missing.end(), 1) == missing.end()) missing.clear();
}

}  // namespace

void convert_chunk(const RawChunk& chunk, const TableSchema& schema, TableSource& source, Table& table) {
  check_columns(source, schema);
  table.rows = 0;
  table.columns.resize(schema.columns.size());
  for (size_t index = 0; index < schema.columns.size(); ++index) {
    Column& column = table.columns[index];
    column.missing.clear();
    ColumnConverter converter(schema.columns[index], source.fields()[index], index);
    converter.convert(chunk, chunk.columns[index], locate_in(source), column);
    drop_needless(column.missing);
  }
  table.rows = chunk.rows;
}

struct TableConverter::Target {
  size_t column, field;
  ColumnConverter converter;
};

TableConverter::TableConverter(const TableSource& source, const TableSchema& schema, Locate locate, bool may_lack)
    : locate_(std::move(locate)) {
  const std::vector<size_t> order = match_columns(source, schema, may_lack);
  for (size_t index = 0; index < order.size(); ++index) {
    has_.push_back(order[index] != kLacking);
    if (!has_.back()) continue;
    const RawField& field = source.fields()[order[index]];
    targets_.push_back({index, order[index], ColumnConverter(schema.columns[index], field, order[index])});
  }
}
TableConverter::~TableConverter() = default;
TableConverter::TableConverter(TableConverter&&) noexcept = default;

bool TableConverter::has(size_t column) const {
  return has_[column];
}

void TableConverter::append(const RawChunk& chunk, Table& table) {
  table.columns.resize(has_.size());
  for (Target& target : targets_)
    target.converter.convert(chunk, chunk.columns[target.field], locate_, table.columns[target.column]);
  table.rows += chunk.rows;
}

void TableConverter::convert(const RawChunk& chunk, Table& table) {
  table.rows = 0;
  for (Column& column : table.columns) column.missing.clear();
  append(chunk, table);
  for (Column& column : table.columns) drop_needless(column.missing);
}

Table read_table(TableSource& source, const TableSchema& schema) {
  TableConverter converter(source, schema, locate_in(source));
  Table table;
  table.columns.resize(schema.columns.size());
  source.rewind();
  for (RawChunk chunk; source.next(chunk);) converter.append(chunk, table);
  for (Column& column : table.columns) {
    drop_needless(column.missing);
    column.missing.shrink_to_fit();
  }
  return table;
}

}  // namespace doppel
