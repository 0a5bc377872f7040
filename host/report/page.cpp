#include "host/report/page.h"

#include <cmath>
#include <cstdio>
#include <kainjow/mustache.hpp>

#include "host/manifest.h"
#include "host/report/assets.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

std::string versions_text() {
  std::string text = "doppel " + program_versions().at("doppel").get<std::string>();
  const std::string_view library = chart_library();  // its first line: "/* Vega 6.2.0, Vega-Lite ...: licence */"
  const size_t begin = std::string_view("/* ").size(), end = library.find(": ");
  return text + ", " + std::string(library.substr(begin, end - begin));
}

// In a script element "</script", "<!--" and the line separators of Unicode mean something beside JSON: no "<" and
// nothing but ASCII is left.
std::string script_json(const Json& json) {
  std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace), escaped;
  escaped.reserve(text.size());
  for (const char character : text) {
    if (character == '<')
      escaped += "\\u003c";
    else
      escaped += character;
  }
  return escaped;
}

kainjow::mustache::data to_mustache(const Json& json) {
  using kainjow::mustache::data;
  if (json.is_boolean()) return data(json.get<bool>());
  if (json.is_array()) {
    data list(data::type::list);
    for (const Json& item : json) list.push_back(to_mustache(item));
    return list;
  }
  if (json.is_object()) {
    data object(data::type::object);
    for (const auto& [name, value] : json.items()) object.set(name, to_mustache(value));
    return object;
  }
  return data(json.get<std::string>());
}

}  // namespace

std::string format_number(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return std::isnan(value) ? kDash : text;
}
std::string score_text(double score) {
  return format_number("%.4f", score);
}
std::string percent_text(double share) {
  return format_number("%.1f %%", 100 * share);
}
// 1234567 -> "1,234,567"
std::string count_text(int64_t count) {
  std::string text = std::to_string(count);
  for (int64_t place = static_cast<int64_t>(text.size()) - 3; place > 0; place -= 3) text.insert(place, 1, ',');
  return text;
}
// The last part of a path, which may end in a slash.
std::string file_name(const std::string& path) {
  const std::string trimmed = path.substr(0, path.find_last_not_of('/') + 1);
  return trimmed.substr(trimmed.rfind('/') + 1);  // npos + 1 is 0
}

std::string render_page(std::string_view body, Json page, const Json& charts, const ReportContext& context) {
  page["command"] = context.command;
  page["seed"] = std::to_string(context.seed);
  page["versions"] = versions_text();
  page["charts_json"] = script_json(charts);
  page["style"] = report_style();
  page["script"] = report_script();
  page["library"] = chart_library();
  kainjow::mustache::mustache whole{std::string(page_head()) + std::string(body) + std::string(page_foot())};
  if (!whole.is_valid()) throw Error("a report's template: " + whole.error_message());
  return whole.render(to_mustache(page));
}

}  // namespace doppel
