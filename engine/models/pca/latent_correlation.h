// The correlation matrix of a table's latent dimensions, such that the *generated* values correlate as the learned
// ones.
//
// What is observed is coarser than a latent score: a category, a number that repeats, a gap. The correlation of
// observed scores is therefore weaker than that of the latents. For each pair the latent correlation r is the one at
// which Mehler's expansion gives the observed covariance of mean scores (NORTA: Cario and Nelson, 1997; for two
// categories this is the polychoric correlation by moments). For two numbers it is the one that gives Pearson's
// correlation of the values, where that differs by more than its standard error from what the scores' correlation
// implies.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/models/pca/latent.h"
#include "kernels/backend.h"

namespace doppel {

enum class Space : uint8_t {
  kScores,
  kStandardised,  // the classic PCA: Pearson's correlation for two numbers, as it is
};

// The moments it needs, over all rows of blocks.
struct LatentMoments {
  CoMoments scores;             // of all latents
  CoMoments values;             // of the latents that are numbers, in their order
  std::vector<size_t> numbers;  // their indexes
};
LatentMoments measure(const std::vector<Latent>& latents, RowBlocks& blocks, const Backend& backend);

// Correlation [latents, latents] pair by pair; not positive definite in general. latents' functions must be filled.
std::vector<double> pairwise_correlation(const std::vector<Latent>& latents, const LatentMoments& moments, Space space);

// The nearest correlation matrix in the Frobenius norm, by alternating projections with Dykstra's correction (Higham,
// "Computing the nearest correlation matrix", 2002); a latent for gaps keeps no correlation with the values of its own
// column, so that what is there keeps its distribution. Wide matrices get fewer rounds: the result is always a
// correlation matrix.
std::vector<double> nearest_correlation(std::vector<double> matrix, const std::vector<Latent>& latents,
                                        const Backend& backend);

}  // namespace doppel
