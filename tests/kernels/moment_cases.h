// Rows' parts in members for tests, and members' moments by their definition (kernels/mixture.h) in long double.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

#include "kernels/mixture.h"

namespace doppel {

struct MomentShape {
  int64_t rows = 60, members = 9;
  int32_t present = 4, absent = 0;
  int64_t used = 9;  // members that rows have parts in: the first
};

struct Moments {
  std::vector<double> sum, product;
};

struct MomentCase {
  int64_t axes;
  std::vector<float> latent;
  std::vector<int32_t> present, absent;
  std::vector<double> centre, mean, inverse, regression;
  Responsibilities shares;
  MixtureLatents latents;
  Moments before;

  Moments add_on_cpu() const {
    Moments moments = before;
    add_moments_on_cpu(latents, shares, {moments.sum.data(), moments.product.data()});
    return moments;
  }
};

// Rows have up to five parts, some have none. What is above a diagonal is not read, and the products' stays.
inline MomentCase random_moments(const MomentShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto numbers = [&](int64_t size, double scale = 1) {
    std::vector<double> values;
    for (int64_t i = 0; i < size; ++i) values.push_back(scale * normal(random));
    return values;
  };
  const int64_t here = shape.present, gone = shape.absent, axes = here + gone, members = shape.members;
  MomentCase made;
  made.axes = axes;
  std::vector<int32_t> axis(static_cast<size_t>(axes));
  std::iota(axis.begin(), axis.end(), 0);
  std::shuffle(axis.begin(), axis.end(), random);
  made.present.assign(axis.begin(), axis.begin() + here);
  made.absent.assign(axis.begin() + here, axis.end());
  std::sort(made.present.begin(), made.present.end());
  std::sort(made.absent.begin(), made.absent.end());
  for (const double value : numbers(shape.rows * here)) made.latent.push_back(static_cast<float>(value));
  made.centre = numbers(members * axes);
  if (gone > 0) {
    const double scale = 1 / std::sqrt(static_cast<double>(here + 1));
    made.mean = numbers(members * axes);
    made.inverse = numbers(members * here * here, scale);
    for (int64_t m = 0; m < members; ++m)
      for (int64_t i = 0; i < here; ++i)
        for (int64_t j = i + 1; j < here; ++j) made.inverse[size_t((m * here + i) * here + j)] = NAN;
    made.regression = numbers(members * gone * here, scale);
  }
  made.shares.first.push_back(0);
  for (int64_t row = 0; row < shape.rows; ++row) {
    const int64_t parts = std::min<int64_t>(static_cast<int64_t>(random() % 6), shape.used);
    std::vector<int32_t> member(static_cast<size_t>(shape.used));
    std::iota(member.begin(), member.end(), 0);
    std::shuffle(member.begin(), member.end(), random);
    std::sort(member.begin(), member.begin() + parts);
    for (int64_t i = 0; i < parts; ++i) {
      made.shares.member.push_back(member[size_t(i)]);
      made.shares.share.push_back(std::uniform_real_distribution<float>(0, 1)(random));
    }
    made.shares.first.push_back(static_cast<int64_t>(made.shares.member.size()));
  }
  made.before = {numbers(members * axes), numbers(members * axes * axes)};
  made.latents = {members,          shape.rows,          made.latent.data(),
                  made.present,     made.absent,         made.centre.data(),
                  made.mean.data(), made.inverse.data(), made.regression.data()};
  return made;
}

inline std::vector<long double> naive_offsets(const MomentCase& made, int64_t row, int64_t member) {
  const auto here = static_cast<int64_t>(made.present.size()), axes = made.axes;
  const float* z = made.latent.data() + row * here;
  std::vector<long double> offset(static_cast<size_t>(axes)), white(static_cast<size_t>(here));
  const auto from_mean = [&](int64_t j) {
    return z[j] - static_cast<long double>(made.mean[size_t(member * axes + made.present[size_t(j)])]);
  };
  for (int64_t i = 0; i < here; ++i) {
    const int32_t a = made.present[size_t(i)];
    offset[size_t(a)] = static_cast<long double>(z[i]) - made.centre[size_t(member * axes + a)];
    for (int64_t j = 0; j <= i && !made.absent.empty(); ++j)
      white[size_t(i)] += made.inverse[size_t((member * here + i) * here + j)] * from_mean(j);
  }
  for (size_t k = 0; k < made.absent.size(); ++k) {
    const auto at = static_cast<size_t>(member * axes + made.absent[k]);
    long double value = made.mean[at];
    for (int64_t i = 0; i < here; ++i)
      value += white[size_t(i)] * made.regression[static_cast<size_t>(member) * made.absent.size() * size_t(here) +
                                                  k * size_t(here) + size_t(i)];
    offset[size_t(made.absent[k])] = value - made.centre[at];
  }
  return offset;
}

// Rounding of some hundred terms of size 1 each, of which a product has two and a row's part one.
inline void expect_definition(const MomentCase& made, const Moments& found) {
  constexpr long double kTolerance = 1e-12L;
  const auto axes = static_cast<size_t>(made.axes);
  std::vector<long double> sum(made.before.sum.begin(), made.before.sum.end()), size_of_sum(sum.size(), 1);
  std::vector<long double> product(made.before.product.begin(), made.before.product.end());
  std::vector<long double> size_of_product(product.size(), 1);
  for (int64_t row = 0; row < made.latents.rows; ++row)
    for (int64_t e = made.shares.first[size_t(row)]; e < made.shares.first[size_t(row) + 1]; ++e) {
      const auto m = static_cast<size_t>(made.shares.member[size_t(e)]);
      const long double share = made.shares.share[size_t(e)];
      const std::vector<long double> offset = naive_offsets(made, row, made.shares.member[size_t(e)]);
      for (size_t i = 0; i < axes; ++i) {
        sum[m * axes + i] += share * offset[i];
        size_of_sum[m * axes + i] += std::abs(share) * (10 + std::abs(offset[i]));
        for (size_t j = 0; j <= i; ++j) {
          product[(m * axes + i) * axes + j] += share * offset[i] * offset[j];
          size_of_product[(m * axes + i) * axes + j] += share * (10 + std::abs(offset[i])) * (10 + std::abs(offset[j]));
        }
      }
    }
  ASSERT_EQ(found.sum.size(), sum.size());
  ASSERT_EQ(found.product.size(), product.size());
  for (size_t i = 0; i < sum.size(); ++i)
    ASSERT_LE(std::abs(found.sum[i] - sum[i]), kTolerance * size_of_sum[i]) << "sum " << i;
  for (size_t i = 0; i < product.size(); ++i)
    ASSERT_LE(std::abs(found.product[i] - product[i]), kTolerance * size_of_product[i]) << "product " << i;
  for (size_t i = 0; i < product.size(); ++i) {
    if (i % axes <= i / axes % axes) continue;
    ASSERT_EQ(found.product[i], made.before.product[i]) << "above the diagonal, " << i;
  }
}

}  // namespace doppel
