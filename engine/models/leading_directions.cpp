#include "engine/models/leading_directions.h"

#include <cblas.h>
#include <lapacke.h>

#include <algorithm>
#include <string>

#include "engine/models/mixture/mixture_space.h"
#include "engine/models/score_axis.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kSpare = 8;  // directions beyond those kept, by which the last ones are found sooner
constexpr int kRounds = 4;
constexpr uint32_t kUseDirections = 0x40000010u;  // of fit_uniform

void check(lapack_int status, const char* what) {
  if (status != 0) throw Error(std::string("leading directions: LAPACK's ") + what + " failed");
}

void make_orthonormal(std::vector<double>& vectors, int64_t width, int64_t count) {
  std::vector<double> reflections(static_cast<size_t>(count));
  const auto m = static_cast<lapack_int>(width), n = static_cast<lapack_int>(count);
  check(LAPACKE_dgeqrf(LAPACK_ROW_MAJOR, m, n, vectors.data(), n, reflections.data()), "dgeqrf");
  check(LAPACKE_dorgqr(LAPACK_ROW_MAJOR, m, n, n, vectors.data(), n, reflections.data()), "dorgqr");
}

}  // namespace

Directions leading_directions(int64_t width, int64_t kept, const std::function<void(const RowConsumer&)>& for_blocks) {
  kept = std::min(kept, width);
  Directions found;
  if (kept == 0) return found;
  const int64_t count = std::min(width, kept + kSpare);
  std::vector<double> basis(width * count);
  for (size_t i = 0; i < basis.size(); ++i) basis[i] = normal_quantile(fit_uniform(0, i, kUseDirections));
  std::vector<float> narrow, projected, image(width * count);
  std::vector<double> inner(count * count);
  const int w = static_cast<int>(width), n = static_cast<int>(count);
  for (int round = 0; round <= kRounds; ++round) {
    make_orthonormal(basis, width, count);
    narrow.assign(basis.begin(), basis.end());
    std::fill(basis.begin(), basis.end(), 0);
    std::fill(inner.begin(), inner.end(), 0);
    for_blocks([&](const float* rows, int64_t block) {
      const int of_block = static_cast<int>(block);
      projected.resize(block * count);
      cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, of_block, n, w, 1, rows, w, narrow.data(), n, 0,
                  projected.data(), n);
      if (round == kRounds) {  // how the rows spread within the span
        for (int64_t row = 0; row < block; ++row)
          for (int64_t i = 0; i < count; ++i)
            for (int64_t j = 0; j <= i; ++j)
              inner[i * count + j] +=
                  static_cast<double>(projected[row * count + i]) * static_cast<double>(projected[row * count + j]);
        return;
      }
      cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, w, n, of_block, 1, rows, w, projected.data(), n, 0,
                  image.data(), n);
      for (size_t i = 0; i < basis.size(); ++i) basis[i] += static_cast<double>(image[i]);
    });
  }
  std::vector<double> values(count);
  check(LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'L', n, inner.data(), n, values.data()), "dsyevd");
  found.vectors.assign(width * kept, 0);
  for (int64_t k = 0; k < kept; ++k) {
    const int64_t from = count - 1 - k;
    found.values.push_back(std::max(values[from], 0.0));
    for (int64_t j = 0; j < width; ++j)
      for (int64_t i = 0; i < count; ++i)
        found.vectors[j * kept + k] += static_cast<double>(narrow[j * count + i]) * inner[i * count + from];
  }
  return found;
}

}  // namespace doppel
