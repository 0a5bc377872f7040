#include "engine/table/schema.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>

#include "engine/table/near_names.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

template <class Value>
struct Name {
  Value value;
  const char* text;
};

constexpr std::array<Name<ColumnKind>, 10> kKindNames{{{ColumnKind::kInteger, "integer"},
                                                       {ColumnKind::kDecimal, "decimal"},
                                                       {ColumnKind::kReal, "real"},
                                                       {ColumnKind::kBoolean, "boolean"},
                                                       {ColumnKind::kCategory, "category"},
                                                       {ColumnKind::kDatetime, "datetime"},
                                                       {ColumnKind::kKey, "key"},
                                                       {ColumnKind::kText, "text"},
                                                       {ColumnKind::kConstant, "constant"},
                                                       {ColumnKind::kEmpty, "empty"}}};

constexpr std::array<Name<SourceType>, 15> kSourceNames{{{SourceType::kText, "text"},
                                                         {SourceType::kBool, "bool"},
                                                         {SourceType::kInt8, "int8"},
                                                         {SourceType::kInt16, "int16"},
                                                         {SourceType::kInt32, "int32"},
                                                         {SourceType::kInt64, "int64"},
                                                         {SourceType::kUint8, "uint8"},
                                                         {SourceType::kUint16, "uint16"},
                                                         {SourceType::kUint32, "uint32"},
                                                         {SourceType::kUint64, "uint64"},
                                                         {SourceType::kFloat32, "float32"},
                                                         {SourceType::kFloat64, "float64"},
                                                         {SourceType::kDate32, "date32"},
                                                         {SourceType::kTimestamp, "timestamp"},
                                                         {SourceType::kString, "string"}}};

constexpr std::array<Name<TimeUnit>, 5> kUnitNames{{{TimeUnit::kDay, "day"},
                                                    {TimeUnit::kSecond, "second"},
                                                    {TimeUnit::kMillisecond, "millisecond"},
                                                    {TimeUnit::kMicrosecond, "microsecond"},
                                                    {TimeUnit::kNanosecond, "nanosecond"}}};

template <class Names, class Value>
const char* name_of(const Names& names, Value value) {
  return std::find_if(names.begin(), names.end(), [&](const auto& name) { return name.value == value; })->text;
}

// `what` is said of a text that is no name: "the kind of column 'a'".
template <class Names>
auto value_of(const Names& names, const std::string& text, const std::string& what) {
  std::string known;
  for (const auto& name : names) {
    if (text == name.text) return name.value;
    known += (known.empty() ? "" : ", ") + std::string(name.text);
  }
  throw InputError(what + ": '" + text + "' is none of " + known);
}

// A field of a JSON object; absent fields keep their defaults.
class Fields {
 public:
  Fields(const Json& json, std::string what) : json_(json), what_(std::move(what)) {
    if (!json.is_object()) throw InputError(what_ + ": is no JSON object");
  }
  void read(const char* name, std::string& to) const {
    if (const Json* field = find(name)) to = text(*field, name);
  }
  void read(const char* name, bool& to) const {
    const Json* field = find(name);
    if (field == nullptr) return;
    if (!field->is_boolean()) throw InputError(where(name) + ": must be true or false");
    to = field->get<bool>();
  }
  void read(const char* name, int& to, int maximum) const {
    const Json* field = find(name);
    if (field == nullptr) return;
    const bool fits = field->is_number_integer() && *field >= 0 && *field <= maximum;
    if (!fits) throw InputError(where(name) + ": must be a whole number from 0 to " + std::to_string(maximum));
    to = field->get<int>();
  }
  void read(const char* name, std::vector<std::string>& to) const {
    const Json* field = find(name);
    if (field == nullptr) return;
    if (!field->is_array()) throw InputError(where(name) + ": must be an array of texts");
    for (const Json& item : *field) to.push_back(text(item, name));
  }
  template <class Names, class Value>
  void read(const char* name, const Names& names, Value& to) const {
    if (const Json* field = find(name)) to = value_of(names, text(*field, name), where(name));
  }
  void check_known(std::initializer_list<std::string_view> known) const {
    for (const auto& [name, value] : json_.items()) {
      if (std::find(known.begin(), known.end(), name) == known.end())
        throw InputError(what_ + ": has the unknown field '" + name + "'");
    }
  }

 private:
  std::string where(const char* name) const { return what_ + ": field '" + name + "'"; }
  const Json* find(const char* name) const {
    const auto at = json_.find(name);
    return at == json_.end() ? nullptr : &*at;
  }
  std::string text(const Json& field, const char* name) const {
    if (!field.is_string()) throw InputError(where(name) + ": must be a text");
    return field.get<std::string>();
  }

  const Json& json_;
  std::string what_;
};

Json column_json(const ColumnSchema& column) {
  const ColumnSchema defaults;
  Json json{{"name", column.name}, {"kind", to_string(column.kind)}, {"source", name_of(kSourceNames, column.source)}};
  if (column.has_missing) json["has_missing"] = true;
  if (!column.missing_text.empty()) json["missing_text"] = column.missing_text;
  if (column.decimals != 0) json["decimals"] = column.decimals;
  if (column.keeps_trailing_zeros) json["keeps_trailing_zeros"] = true;
  if (!column.datetime_format.empty()) json["datetime_format"] = column.datetime_format;
  if (column.kind == ColumnKind::kDatetime || column.unit != defaults.unit)
    json["unit"] = name_of(kUnitNames, column.unit);
  if (!column.timezone.empty()) json["timezone"] = column.timezone;
  if (!column.levels.empty()) json["levels"] = column.levels;
  return json;
}

ColumnSchema column_from_json(const Json& json, size_t index) {
  std::string what = "schema: column " + std::to_string(index + 1);
  ColumnSchema column;
  Fields(json, what).read("name", column.name);
  if (!json.contains("name")) throw InputError(what + ": field 'name' is missing");
  what += " ('" + column.name + "')";
  if (!json.contains("kind")) throw InputError(what + ": field 'kind' is missing");
  const Fields fields(json, what);
  fields.check_known({"name", "kind", "source", "has_missing", "missing_text", "decimals", "keeps_trailing_zeros",
                      "datetime_format", "unit", "timezone", "levels"});
  fields.read("kind", kKindNames, column.kind);
  fields.read("source", kSourceNames, column.source);
  fields.read("has_missing", column.has_missing);
  fields.read("missing_text", column.missing_text);
  fields.read("decimals", column.decimals, kMaximumDecimals);
  fields.read("keeps_trailing_zeros", column.keeps_trailing_zeros);
  fields.read("datetime_format", column.datetime_format);
  fields.read("unit", kUnitNames, column.unit);
  fields.read("timezone", column.timezone);
  fields.read("levels", column.levels);
  return column;
}

}  // namespace

size_t TableSchema::find(const std::string& name) const {
  const std::string wanted = folded(name);
  std::vector<size_t> alike;
  for (size_t index = 0; index < columns.size(); ++index) {
    if (columns[index].name == name) return index;
    if (folded(columns[index].name) == wanted) alike.push_back(index);
  }
  if (alike.size() == 1) return alike.front();
  if (alike.empty()) {
    std::vector<std::string> all;
    for (const ColumnSchema& column : columns) all.push_back(column.name);
    throw UsageError("there is no column '" + name + "'" + near_names(all, name, "columns"));
  }
  std::string names;
  for (const size_t index : alike) names += (names.empty() ? "'" : ", '") + columns[index].name + "'";
  throw UsageError("the column '" + name + "' may be each of " + names + ": give the name exactly");
}

bool is_numeric(ColumnKind kind) {
  return kind == ColumnKind::kInteger || kind == ColumnKind::kDecimal || kind == ColumnKind::kReal ||
         kind == ColumnKind::kDatetime;
}

bool is_discrete(ColumnKind kind) {
  return kind == ColumnKind::kBoolean || kind == ColumnKind::kCategory;
}

bool has_values(ColumnKind kind) {
  return kind != ColumnKind::kKey && kind != ColumnKind::kText && kind != ColumnKind::kEmpty;
}

const char* to_string(ColumnKind kind) {
  return name_of(kKindNames, kind);
}

ColumnKind column_kind_from_string(const std::string& text) {
  return value_of(kKindNames, text, "column kind");
}

Json to_json(const TableSchema& schema) {
  Json columns = Json::array();
  for (const ColumnSchema& column : schema.columns) columns.push_back(column_json(column));
  return {{"columns", std::move(columns)}};
}

TableSchema table_schema_from_json(const Json& json) {
  if (!json.is_object() || !json.contains("columns") || !json["columns"].is_array())
    throw InputError("schema: field 'columns' is missing or no array");
  TableSchema schema;
  for (const Json& column : json["columns"]) schema.columns.push_back(column_from_json(column, schema.columns.size()));
  return schema;
}

}  // namespace doppel
