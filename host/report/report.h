// The report of an evaluation: one HTML file that a browser opens from disk. It holds everything it shows (style,
// script, chart library, data) and asks the network for nothing; its tables read without a script as well.
#pragma once

#include <cstdint>
#include <string>

#include "engine/evaluation/evaluation.h"

namespace doppel {

// What the tables were called and how they were compared.
struct ReportContext {
  std::string real, synthetic, holdout;  // as the user named them; holdout: empty where there is none
  std::string command;                   // as typed
  uint64_t seed = 0;
};

// The file's bytes, UTF-8. The same arguments give the same bytes: no time stamp, no durations. Names of columns,
// levels and files may hold any text: they are escaped.
std::string make_report(const Evaluation& evaluation, const ReportContext& context);

}  // namespace doppel
