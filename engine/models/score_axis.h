// Normal scores: a column's values as intervals ("cells") of a standard normal axis.
//
// Cell c of a column holds probability share[c] and the interval boundary[c] <= z < boundary[c + 1], where boundary is
// the normal quantile of the cumulated shares. Rows of one cell cannot be told apart on the axis: they have the score
// E[z | cell] = (phi(boundary[c]) - phi(boundary[c + 1])) / share[c], and what spreads within a cell is taken back when
// correlations are corrected (latent_correlation.h).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

double normal_density(double z);
double normal_cdf(double z);
// Acklam's rational approximation, relative error below 1.2e-9; -inf and +inf at 0 and 1.
double normal_quantile(double probability);

// Boundaries [cells + 1] of cells with these weights (>= 0, not all 0), in their order; -inf first, +inf last.
std::vector<double> score_boundaries(std::span<const int64_t> weights);
// E[z | cell] of each cell; for a cell of no width, its place.
std::vector<double> mean_scores(std::span<const double> boundaries);

// Hermite coefficients of indicator functions: element [cell * (terms + 1) + k] is the integral of h_k(z) phi(z) over
// the cell, h_k the orthonormal Hermite polynomials. For standard normals z, w of correlation r,
//   P(z in cell a, w in cell b) = sum_k r^k coefficient[a, k] coefficient[b, k]         (Mehler's expansion)
std::vector<double> hermite_coefficients(std::span<const double> boundaries, int terms);

}  // namespace doppel
