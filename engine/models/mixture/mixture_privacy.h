// Does a mixture remember the rows it was fitted to? The share of its rows that are nearer to those than to as many
// rows held out, by Gower's distance (table/row_points.h), as `evaluate --holdout` measures it of a double.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/models/mixture/mixture_fitter.h"
#include "engine/models/mixture/mixture_parameters.h"
#include "engine/models/mixture/mixture_space.h"
#include "engine/table/profile.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr int64_t kMostCompared = 4096;  // rows fitted to, and as many held out, and rows drawn

class MixturePrivacy {
 public:
  // Keeps references to all but the sample.
  MixturePrivacy(const TableProfile& profile, const MixtureSpace& space, const RowSample& sample, uint64_t seed,
                 const Backend& backend);
  ~MixturePrivacy();
  // Of parameters fitted to sample.training. Without rows held out, or columns to compare, a half with no error.
  // Values are those of the column's distribution; ranks among the rows drawn stand for the calibration that the
  // recipe makes (mixture_recipe.h).
  // The standard error: with both sets in B blocks by chance, the share is the sum of what the training blocks have of
  // the rows drawn, and were the 2 B blocks dealt anew, its variance would be B / 2 times that of one block. So rows
  // that are nearest to many count as the few that they are. (A jackknife overestimates it by 80 %: nearest neighbours
  // do not change smoothly.)
  NearerEstimate measure(const MixtureParameters& parameters) const;

 private:
  struct Points;
  std::unique_ptr<const Points> points_;
};

}  // namespace doppel
