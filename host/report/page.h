// What the pages of all reports have in common.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "host/report/report.h"

namespace doppel {

inline constexpr const char* kDash = "–";  // in the place of what is not defined

std::string format_number(const char* format, double value);  // kDash for NaN
std::string score_text(double score);                         // "0.9871"
std::string percent_text(double share);                       // "98.7 %"
std::string count_text(int64_t count);                        // "1,234,567"
std::string file_name(const std::string& path);               // the last part of a path, which may end in a slash

// A page of the Mustache template `body` between page_head and page_foot, filled with `page` (texts, booleans, arrays
// and objects of them), and with the charts that make_charts or make_image_charts gives.
std::string render_page(std::string_view body, nlohmann::ordered_json page, const nlohmann::ordered_json& charts,
                        const ReportContext& context);

}  // namespace doppel
