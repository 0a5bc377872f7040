// Table samplers for tests, and the naive reference: every storage and transform, one row at a time, straight from the
// definitions in kernels/table.h and random.h, sharing no code with the sampler but philox and Box-Muller.
#pragma once

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"
#include "kernels/table.h"

namespace doppel {

struct SampledColumn {
  std::vector<std::byte> values;
  std::vector<uint8_t> validity;
  bool operator==(const SampledColumn&) const = default;
};
using SampledTable = std::vector<SampledColumn>;

inline ColumnSampler segments_column(Storage storage, std::mt19937_64& random, size_t segments) {
  ColumnSampler column;
  column.storage = storage;
  const bool integers = is_integer(storage);
  std::vector<float> cuts;
  std::normal_distribution<float> normal;
  while (cuts.size() + 1 < segments) {
    const float cut = normal(random) * 1.5f;
    if (cut > -6 && cut < 6) cuts.push_back(cut);
  }
  cuts.push_back(-kScoreLimit);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  column.lower = cuts;
  std::uniform_int_distribution<int64_t> width(1, 1000), base(-100000, 100000);
  for (size_t s = 0; s < cuts.size(); ++s) {
    const double length = double(s + 1 < cuts.size() ? cuts[s + 1] : kScoreLimit) - cuts[s];
    const int64_t wide = s % 3 == 0 ? 1 : width(random);
    if (integers) {
      column.base.push_back(storage == Storage::kInt64 && s % 2 ? base(random) << 36 : base(random));
      column.width.push_back(storage == Storage::kInt64 && s % 5 == 1 ? wide << 40 : wide);
      column.scale.push_back(static_cast<double>(column.width.back()) / length);
    } else {
      const double low = static_cast<double>(base(random)) * 0.37,
                   high = s % 3 == 0 ? low : low + static_cast<double>(wide) * 0.01;
      column.real_base.push_back(low);
      column.real_top.push_back(high);
      column.real_slope.push_back((high - low) / length);
    }
  }
  return column;
}

inline ColumnSampler linear_column(Storage storage) {
  ColumnSampler column;
  column.storage = storage;
  column.transform = Transform::kLinear;
  column.mean = 12.5;
  column.deviation = 7.25;
  column.minimum = -2;
  column.maximum = 31;
  return column;
}

// All storages and transforms, each with and without gaps; segment tables of 1 to `segments` entries.
inline TableSampler every_kind_of_column(int32_t latents, int32_t components, size_t segments, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  TableSampler sampler;
  sampler.latents = latents;
  sampler.components = components;
  const float scale = 1 / std::sqrt(float(components + 1));
  for (int32_t i = 0; i < latents * components; ++i)
    sampler.factor.push_back(i % 7 == 3 ? 0.0f : normal(random) * scale);
  for (int32_t i = 0; i < latents; ++i) sampler.residual.push_back(i % 3 == 1 ? 0.5f : 0.0f);
  int32_t next = 0;
  for (Storage storage : {Storage::kInt32, Storage::kInt64, Storage::kFloat32, Storage::kFloat64}) {
    for (int kind = 0; kind < 4; ++kind) {
      ColumnSampler column = linear_column(storage);
      if (kind != 0) column = segments_column(storage, random, kind == 1 ? 1 : kind == 2 ? 12 : segments);
      column.latent = next++ % latents;
      if (kind % 2 == 0) {
        column.missing_latent = next++ % latents;
        column.missing_threshold = -0.7f;
      }
      sampler.columns.push_back(column);
    }
  }
  return sampler;
}

namespace reference {

inline std::vector<float> normals_of_row(uint64_t seed, uint64_t row, int32_t draws) {
  std::vector<float> normals;
  for (uint32_t block = 0; normals.size() < static_cast<size_t>(draws); ++block) {
    const auto words = philox({uint32_t(row), uint32_t(row >> 32), block, uint32_t(Stream::kRows)},
                              {uint32_t(seed), uint32_t(seed >> 32)});
    for (int pair = 0; pair < 4; pair += 2) {
      float first, second;
      portable::box_muller<PlainLanes>(int32_t(words[pair]), int32_t(words[pair + 1]), first, second);
      normals.push_back(first);
      normals.push_back(second);
    }
  }
  return normals;
}

inline std::vector<float> scores_of_row(const TableSampler& sampler, uint64_t seed, uint64_t row) {
  int32_t draws = sampler.components;
  for (float residual : sampler.residual) draws += residual > 0;
  const std::vector<float> normals = normals_of_row(seed, row, draws);
  std::vector<float> scores;
  int32_t draw = sampler.components;
  for (int32_t latent = 0; latent < sampler.latents; ++latent) {
    float z = 0;
    for (int32_t k = 0; k < sampler.components; ++k) {
      const float weight = sampler.factor[size_t(latent * sampler.components + k)];
      if (weight != 0) z = std::fma(weight, normals[size_t(k)], z);
    }
    if (sampler.residual[size_t(latent)] > 0)
      z = std::fma(sampler.residual[size_t(latent)], normals[size_t(draw++)], z);
    scores.push_back(z);
  }
  return scores;
}

template <class Real>
Real clamp(Real x, Real low, Real high) {
  const Real y = x < low ? low : x;
  return y > high ? high : y;
}

template <class Real>
int64_t integer_of(const ColumnSampler& column, size_t s, float offset) {
  const Real steps = std::trunc(Real(offset) * Real(column.scale[s]));
  return column.base[s] + int64_t(clamp(steps, Real(0), Real(column.width[s] - 1)));
}

template <class Real>
Real real_of(const ColumnSampler& column, size_t s, float offset) {
  return clamp(std::fma(Real(offset), Real(column.real_slope[s]), Real(column.real_base[s])), Real(column.real_base[s]),
               Real(column.real_top[s]));
}

template <class Value>
void put(Value value, SampledColumn& out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.values.insert(out.values.end(), bytes, bytes + sizeof value);
}

inline void put_value(const ColumnSampler& column, float z, bool present, SampledColumn& out) {
  const float clamped = clamp(z, -kScoreLimit, kScoreLimit);
  size_t s = 0;
  while (s + 1 < column.lower.size() && column.lower[s + 1] <= clamped) ++s;
  const float offset = column.lower.empty() ? 0 : clamped - column.lower[s];
  const bool linear = column.transform == Transform::kLinear;
  const double value = clamp(std::fma(double(z), column.deviation, column.mean), column.minimum, column.maximum);
  switch (column.storage) {
    case Storage::kInt32:
      return put(present ? int32_t(linear ? std::nearbyint(value) : double(integer_of<float>(column, s, offset))) : 0,
                 out);
    case Storage::kInt64:
      return put(present ? (linear ? int64_t(std::nearbyint(value)) : integer_of<double>(column, s, offset)) : 0, out);
    case Storage::kFloat32: {
      const float narrow =
          clamp(std::fma(z, float(column.deviation), float(column.mean)), float(column.minimum), float(column.maximum));
      return put(present ? (linear ? narrow : real_of<float>(column, s, offset)) : 0.0f, out);
    }
    case Storage::kFloat64:
      return put(present ? (linear ? value : real_of<double>(column, s, offset)) : 0.0, out);
  }
}

inline SampledTable sample(const TableSampler& sampler, uint64_t seed, uint64_t first_row, int64_t rows) {
  SampledTable table(sampler.columns.size());
  for (SampledColumn& column : table) column.validity.assign(size_t(rows + 7) / 8, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const std::vector<float> scores = scores_of_row(sampler, seed, first_row + uint64_t(row));
    for (size_t c = 0; c < table.size(); ++c) {
      const ColumnSampler& column = sampler.columns[c];
      const bool present =
          column.missing_latent < 0 || !(scores[size_t(column.missing_latent)] < column.missing_threshold);
      put_value(column, scores[size_t(column.latent)], present, table[c]);
      if (present) table[c].validity[size_t(row) / 8] |= uint8_t(1u << (row % 8));
    }
  }
  return table;
}

}  // namespace reference

// What a prepared sampler writes, between sentinels that must survive.
inline SampledTable sample_with(PreparedTableSampler& prepared, const TableSampler& sampler, uint64_t seed,
                                uint64_t first_row, int64_t rows, bool& sentinels_survived) {
  constexpr size_t kGuard = 64;
  constexpr std::byte kSentinel{0xA5};
  std::vector<std::vector<std::byte>> memory;
  std::vector<ColumnBuffer> buffers;
  for (const ColumnSampler& column : sampler.columns) {
    const size_t bytes = size_t(rows) * bytes_per_value(column.storage), bits = size_t(rows + 7) / 8;
    memory.emplace_back(bytes + bits + 4 * kGuard, kSentinel);
    auto* start = memory.back().data() + (kGuard - reinterpret_cast<uintptr_t>(memory.back().data()) % kGuard);
    buffers.push_back({start, reinterpret_cast<uint8_t*>(start + bytes + kGuard)});
  }
  prepared.sample(seed, first_row, rows, buffers);
  SampledTable table;
  sentinels_survived = true;
  for (size_t c = 0; c < buffers.size(); ++c) {
    const size_t bytes = size_t(rows) * bytes_per_value(sampler.columns[c].storage), bits = size_t(rows + 7) / 8;
    const auto* values = static_cast<const std::byte*>(buffers[c].values);
    const auto* validity = reinterpret_cast<const std::byte*>(buffers[c].validity);
    for (size_t i = 0; i < kGuard; ++i)
      sentinels_survived = sentinels_survived && values[bytes + i] == kSentinel && validity[bits + i] == kSentinel;
    table.push_back({{values, values + bytes}, {buffers[c].validity, buffers[c].validity + bits}});
  }
  return table;
}

}  // namespace doppel
