// A table as codes, which is what the tabular VAE sees: of a mixture's space (mixture_space.h) each variable's state,
// and each axis cut into bins of about equal shares. Bins have any distribution given the latents, where a Gaussian has
// one hump and one width; within a bin the column's own distribution is kept (add_columns).
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/mixture/mixture_space.h"

namespace doppel {

inline constexpr int64_t kMostBins = 64, kRowsPerBin = 64;  // bins are fewer where they would hold fewer rows

// The bins of one axis, as shares of its continuous part. They end between values where there are few values.
class AxisBins {
 public:
  AxisBins(const LatentAxis& axis, int64_t rows);
  int32_t count() const { return static_cast<int32_t>(edges_.size()) - 1; }
  int32_t bin_of(double share) const;
  // Of a share on the score axis on which bins are equally wide (kernels/decoder.h).
  double place_of(double share) const;

 private:
  std::vector<double> edges_;  // [bins + 1] from 0 to 1
};

// Fields are the variables, then the axes. A table without axes has a last field of one code, as its sampler has one
// latent.
struct CodeSpace {
  const MixtureSpace& space;
  std::vector<AxisBins> bins;
  std::vector<int32_t> codes;  // of each field

  CodeSpace(const MixtureSpace& space, int64_t rows);
  size_t fields() const { return codes.size(); }
};

struct CodedRows {
  int64_t rows = 0;
  std::vector<int32_t> codes;  // [rows, fields]; -1: never seen, or a latent that does not count
};
CodedRows encode_rows(const CodeSpace& codes, const RowsByPattern& rows);

}  // namespace doppel
