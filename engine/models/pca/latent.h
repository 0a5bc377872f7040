// The latent dimensions of a table: one for the values of each column that varies, one for the gaps of each column that
// has any. Constants, keys, texts and empty columns have no values here, but their gaps do.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/encoded_rows.h"
#include "engine/table/profile.h"

namespace doppel {

// Terms of Mehler's expansion used for correlations.
inline constexpr int kHermiteTerms = 40;

// A function of the latent score that is constant on cells. For standard normals of correlation r the covariance of two
// such functions f and g is the sum over k = 1, 2, ... of r^k f_k g_k (Mehler), series[k] their Hermite coefficients.
struct CellFunction {
  std::vector<double> cumulative;  // [cells] probability up to each cell's end
  std::vector<double> level;       // [cells] the function's value
  std::vector<double> series;      // [kHermiteTerms + 1]
  double variance = 0;
};

struct Latent {
  size_t column = 0;            // of the table
  bool is_missingness = false;  // position 0: missing, 1: there
  bool is_number = false;
  std::vector<int32_t> order;      // kCategory, kBoolean: levels along the axis
  std::vector<double> boundaries;  // [cells + 1] in axis order; categories: by `order`

  std::vector<double> score;       // [positions] E[z | cell]
  std::vector<double> value;       // [positions] numbers: (x - mean) / deviation of the column's distribution
  double mean = 0, deviation = 0;  // of a number's values; deviation 0: it does not vary

  CellFunction score_function, value_function,
      square_function;  // of score, value and its square; the latter for numbers
};

// Value latents in the order of columns, then missingness latents likewise. Categories start in the order of their
// codes.
std::vector<Latent> make_latents(const TableProfile& profile);

// Puts the levels of a category into this order along its axis: boundaries and scores follow.
void set_order(Latent& latent, const std::vector<int64_t>& level_counts, std::vector<int32_t> order);

// Fills the functions of a latent whose order is settled, on cells coarsened where there are many.
void fill_functions(Latent& latent, const TableProfile& profile);

// Rows of each position of a latent.
std::vector<int64_t> position_counts(const Latent& latent, const TableProfile& profile);

// by_position [positions] of each row of a block, 0 where the row has none; present [rows] 1 or 0.
void look_up(const Latent& latent, const std::vector<double>& by_position, const EncodedRows& block, double* values,
             double* present);

}  // namespace doppel
