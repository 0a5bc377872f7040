// The check of arguments that every backend's nearest neighbours share.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/common/error.h"
#include "kernels/nearest.h"

namespace doppel {

inline void check_points(const Points& points, const char* which) {
  if (points.rows < 0 || points.columns < 0 ||
      points.values.size() != static_cast<size_t>(points.rows) * static_cast<size_t>(points.columns))
    throw Error(std::string("nearest neighbours: the sizes of the ") + which + " do not agree");
  if (!std::all_of(points.values.begin(), points.values.end(), [](float value) { return std::isfinite(value); }))
    throw Error(std::string("nearest neighbours: a value of the ") + which + " is not finite");
}

inline void check_nearest(const Points& queries, const Points& references) {
  check_points(queries, "queries");
  check_points(references, "references");
  if (queries.columns != references.columns)
    throw Error("nearest neighbours: queries and references have different columns");
}

}  // namespace doppel
