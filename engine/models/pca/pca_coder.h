// The PCA of a table as a code: the scores of a row's components,
//   z = V^T s,   s = V z,
// s the row's latents (latent.h): normal scores, of values that share an interval of the axis its mean, or standardised
// numbers. Of a table of numbers and --space standardised these are PCA.transform and inverse_transform of
// scikit-learn after its StandardScaler.
//
// Latents that a row lacks (a missing value, a level that the model never saw) are their mean given those it has, under
// the model's Gaussian, in which no latent has less noise than kLeastNoise. That a value is missing is a latent of its
// own where the model has seen it.
//
// Decoded rows have the columns with values; keys and texts have no code. A column is missing where its latent of gaps
// says so.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/coder.h"
#include "engine/table_generator.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr double kLeastNoise = 1e-6;  // variance

// Throws UsageError where there are no components, InputError where the recipe and the components do not belong
// together. vectors [latents, components] orthonormal, eigenvalues [latents]. The backend must outlive the coder.
std::shared_ptr<const Coder> make_pca_coder(std::shared_ptr<const TableRecipe> recipe, std::vector<double> vectors,
                                            std::vector<double> eigenvalues, int64_t components,
                                            const Backend& backend);

}  // namespace doppel
