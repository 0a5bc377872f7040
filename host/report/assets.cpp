#include "host/report/assets.h"

extern "C" {  // host/report/assets.S
extern const char doppel_page_head[], doppel_page_head_end[];
extern const char doppel_page_foot[], doppel_page_foot_end[];
extern const char doppel_report_template[], doppel_report_template_end[];
extern const char doppel_image_report_template[], doppel_image_report_template_end[];
extern const char doppel_report_style[], doppel_report_style_end[];
extern const char doppel_report_script[], doppel_report_script_end[];
extern const char doppel_chart_specs[], doppel_chart_specs_end[];
extern const char doppel_chart_library[], doppel_chart_library_end[];
}

namespace doppel {

std::string_view page_head() {
  return {doppel_page_head, doppel_page_head_end};
}
std::string_view page_foot() {
  return {doppel_page_foot, doppel_page_foot_end};
}
std::string_view report_template() {
  return {doppel_report_template, doppel_report_template_end};
}
std::string_view image_report_template() {
  return {doppel_image_report_template, doppel_image_report_template_end};
}
std::string_view report_style() {
  return {doppel_report_style, doppel_report_style_end};
}
std::string_view report_script() {
  return {doppel_report_script, doppel_report_script_end};
}
std::string_view chart_specs() {
  return {doppel_chart_specs, doppel_chart_specs_end};
}
std::string_view chart_library() {
  return {doppel_chart_library, doppel_chart_library_end};
}

}  // namespace doppel
