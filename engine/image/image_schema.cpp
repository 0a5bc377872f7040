#include "engine/image/image_schema.h"

#include <charconv>

namespace doppel {
namespace {

// The narrowest type of the numbers that the names are; text where one is none.
SourceType type_of_names(const std::vector<std::string>& names) {
  bool are_bytes = true;
  for (const std::string& name : names) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
    if (error != std::errc() || end != name.data() + name.size() || std::to_string(number) != name)
      return SourceType::kString;
    are_bytes = are_bytes && number >= 0 && number <= 255;
  }
  return are_bytes ? SourceType::kUint8 : SourceType::kInt64;
}

}  // namespace

OutputSchema make_image_schema(const ImageShape& shape, const std::vector<std::string>& label_names) {
  OutputSchema schema;
  schema.image = shape;
  if (label_names.empty()) return schema;
  OutputColumn& label = schema.columns.emplace_back();
  label.schema.name = "label";
  label.schema.kind = ColumnKind::kCategory;
  label.schema.source = type_of_names(label_names);
  label.schema.levels = label_names;
  return schema;
}

}  // namespace doppel
