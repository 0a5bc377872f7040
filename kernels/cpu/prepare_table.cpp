#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#include "kernels/cpu/sample_table.h"

namespace doppel {
namespace {

constexpr size_t kFewestBuckets = 256, kMostBuckets = 8192;  // 16 KiB a column
constexpr size_t kLongestChain = 20;                         // more atoms are found faster by their bucket

int32_t bucket_of(const PreparedColumn& column, float z) {
  return static_cast<int32_t>(std::fma(z, column.bucket_scale, column.bucket_offset));
}

// Eight buckets a segment, so that few segments begin in one bucket. Segments that 16 bits cannot number are found by
// binary search alone.
void prepare_search(const std::vector<float>& lower, PreparedColumn& to) {
  const size_t segments = lower.size();
  const size_t buckets = segments > 65535 ? 1 : std::clamp(std::bit_ceil(8 * segments), kFewestBuckets, kMostBuckets);
  to.bucket_scale = buckets == 1 ? 0 : static_cast<float>(buckets) / (2 * kScoreLimit);
  to.bucket_offset = buckets == 1 ? 0 : static_cast<float>(buckets) / 2;
  std::vector<int32_t> begin(buckets + 1, 0);  // segments that begin in a bucket, but for the first segment
  for (size_t s = 1; s < segments; ++s) ++begin[static_cast<size_t>(bucket_of(to, lower[s]))];
  to.most = *std::max_element(begin.begin(), begin.end());
  int32_t before = 0;
  for (int32_t count : begin) {
    to.first.push_back(static_cast<uint16_t>(before));
    before += count;
  }
  to.lower = lower;
  const size_t padding = std::bit_ceil(static_cast<size_t>(std::max(to.most, kComparedSegments)) + 1);
  to.lower.resize(segments + padding, std::numeric_limits<float>::infinity());
}

// True where every offset gives the same bits. A real zero must not meet a slope that could turn its sign.
bool is_atom(const ColumnSampler& column, size_t s) {
  if (is_integer(column.storage)) return column.width[s] == 1;
  const bool same = column.real_base[s] == column.real_top[s];
  return same &&
         (column.real_base[s] != 0 || (!std::signbit(column.real_base[s]) && !std::signbit(column.real_slope[s])));
}

void prepare_values32(const ColumnSampler& from, PreparedColumn& to) {
  const bool integer = is_integer(from.storage);
  for (size_t s = 0; s < from.lower.size(); ++s) {
    Segment32 segment;
    segment.lower = from.lower[s];
    segment.slope = static_cast<float>(integer ? from.scale[s] : from.real_slope[s]);
    segment.top = static_cast<float>(integer ? static_cast<double>(from.width[s] - 1) : from.real_top[s]);
    if (integer) {
      segment.integer_base = static_cast<int32_t>(from.base[s]);
    } else {
      segment.base = static_cast<float>(from.real_base[s]);
    }
    to.segments32.push_back(segment);
    to.atoms32.push_back(integer ? std::bit_cast<uint32_t>(segment.integer_base)
                                 : std::bit_cast<uint32_t>(segment.base));
  }
}

void prepare_values64(const ColumnSampler& from, PreparedColumn& to) {
  const bool integer = is_integer(from.storage);
  for (size_t s = 0; s < from.lower.size(); ++s) {
    Segment64 segment;
    segment.lower = from.lower[s];
    segment.slope = integer ? from.scale[s] : from.real_slope[s];
    segment.top = integer ? static_cast<double>(from.width[s] - 1) : from.real_top[s];
    if (integer) {
      segment.integer_base = from.base[s];
    } else {
      segment.base = from.real_base[s];
    }
    to.segments64.push_back(segment);
    to.atoms64.push_back(integer ? std::bit_cast<uint64_t>(segment.integer_base)
                                 : std::bit_cast<uint64_t>(segment.base));
  }
}

void prepare_segments(const ColumnSampler& from, PreparedColumn& to) {
  bool atoms = true;
  for (size_t s = 0; s < from.lower.size(); ++s) atoms = atoms && is_atom(from, s);
  const bool narrow = bytes_per_value(from.storage) == 4;
  if (atoms) {
    const bool chain = narrow && from.lower.size() <= kLongestChain;
    to.lookup = chain ? PreparedColumn::Lookup::kChain : PreparedColumn::Lookup::kAtoms;
  }
  prepare_search(from.lower, to);
  if (narrow) {
    prepare_values32(from, to);
  } else {
    prepare_values64(from, to);
  }
}

void prepare_states(const ColumnSampler& from, PreparedColumn& to) {
  to.emission = from.emission;
  to.state_role = from.state_role;
  const size_t states = from.state_role.size();
  for (size_t state = 0; state < states; ++state) {
    const uint64_t kept = from.state_role[state] == StateRole::kLatent ? ~uint64_t{0} : 0;
    const uint64_t wide = is_integer(from.storage) ? static_cast<uint64_t>(from.state_integer[state])
                                                   : std::bit_cast<uint64_t>(from.state_real[state]);
    const uint32_t narrow = is_integer(from.storage)
                                ? static_cast<uint32_t>(wide)
                                : std::bit_cast<uint32_t>(static_cast<float>(from.state_real[state]));
    if (bytes_per_value(from.storage) == 4) {
      to.states32.push_back({static_cast<uint32_t>(kept), narrow});
    } else {
      to.states64.push_back({kept, wide});
    }
    const bool missing = from.state_role[state] == StateRole::kMissing;
    if (states > 32) {
      to.missing_sign.push_back(missing ? -1 : 0);
    } else if (missing) {
      to.missing_states |= 0x80000000u >> state;
    }
  }
}

PreparedColumn prepare_column(const ColumnSampler& from) {
  PreparedColumn to;
  to.storage = from.storage;
  to.transform = from.transform;
  to.latent = from.latent;
  to.missing_latent = from.missing_latent;
  to.missing_threshold = from.missing_threshold;
  to.mean = from.mean;
  to.deviation = from.deviation;
  to.minimum = from.minimum;
  to.maximum = from.maximum;
  to.has_latent = from.has_latent();
  to.has_missing = from.can_be_missing();
  if (from.emission >= 0) prepare_states(from, to);
  if (to.has_latent && from.transform == Transform::kSegments) prepare_segments(from, to);
  return to;
}

// Latents first .. first + 3; those past the last have no weights.
LatentGroup prepare_group(const TableSampler& sampler, int32_t first) {
  LatentGroup group;
  const int32_t latents = std::min(4, sampler.latents - first);
  for (int32_t draw = 0; draw < sampler.components; ++draw) {
    LatentGroup::Term term{draw, {0, 0, 0, 0}};
    bool used = false;
    for (int32_t latent = 0; latent < latents; ++latent) {
      const size_t row = static_cast<size_t>(first + latent);
      term.weight[latent] = effective_weight(sampler.factor[row * static_cast<size_t>(sampler.components) + draw]);
      used = used || term.weight[latent] != 0;
    }
    if (used) group.terms.push_back(term);
  }
  return group;
}

void prepare_groups(const TableSampler& sampler, PreparedTable& table) {
  const std::vector<int32_t> draws = residual_draws(sampler);
  for (int32_t latent = 0; latent < sampler.latents; ++latent) {
    if (latent % 4 == 0) table.groups.push_back(prepare_group(sampler, latent));
    table.groups.back().residual[latent % 4] = effective_weight(sampler.residual[latent]);
    table.groups.back().residual_draw[latent % 4] = draws[latent];
  }
}

// Rows of a tile so that normals and scores stay in the 32 KiB of an L1 cache, as far as 64 rows or more can be. A
// mixture's rows have more to do and to look up: 256 of them, whatever they take, were fastest.
int32_t tile_rows_of(const PreparedTable& table) {
  const size_t numbers_per_row = static_cast<size_t>(4 * table.blocks + table.padded_latents());
  int32_t rows = 256;
  while (!table.mixture && rows > 64 && static_cast<size_t>(rows) * sizeof(float) * numbers_per_row > (32 << 10))
    rows /= 2;
  return rows;
}

}  // namespace

std::vector<int32_t> residual_draws(const TableSampler& sampler) {
  const auto latents = static_cast<size_t>(sampler.latents);
  std::vector<int32_t> draws(latents, -1);
  int32_t next = sampler.components;
  for (size_t latent = 0; latent < latents; ++latent)
    for (size_t i = latent; i < sampler.residual.size() && draws[latent] < 0; i += latents)
      if (effective_weight(sampler.residual[i]) > 0) draws[latent] = next++;
  return draws;
}

PreparedTable prepare_table(const TableSampler& sampler) {
  check_table_sampler(sampler);
  PreparedTable table;
  int32_t draws = sampler.components;
  for (int32_t draw : residual_draws(sampler)) draws = std::max(draws, draw + 1);
  table.blocks = (draws + 3) / 4;
  if (sampler.is_mixture()) {
    table.mixture = prepare_mixture(sampler);
  } else {
    prepare_groups(sampler, table);
  }
  for (const ColumnSampler& column : sampler.columns) table.columns.push_back(prepare_column(column));
  table.tile_rows = tile_rows_of(table);
  return table;
}

TileScratch::TileScratch(const PreparedTable& table) : memory_(nullptr, [](std::byte* memory) { std::free(memory); }) {
  const size_t row = sizeof(float) * static_cast<size_t>(table.tile_rows);  // of a matrix
  const auto latents = static_cast<size_t>(table.padded_latents());
  const size_t drawn_numbers = sizeof(int32_t) * kDrawnRows * static_cast<size_t>(table.padded_variables());
  const size_t word_bytes = 4 * row * static_cast<size_t>(table.word_blocks());
  size_t bytes = 0;
  const auto reserve = [&bytes](size_t size) { return std::exchange(bytes, bytes + (size + 63) / 64 * 64); };
  const size_t normals_at = reserve(4 * row * static_cast<size_t>(table.blocks));
  const size_t scores_at = reserve(row * latents);
  const size_t buckets_at = reserve(row);
  const size_t values_at = reserve(2 * row);
  const size_t words_at = reserve(table.mixture ? word_bytes + kMostLanes * sizeof(int32_t) : 0);  // vectors end beyond
  const size_t members_at = reserve(table.mixture ? row : 0);
  const size_t row_scores_at = reserve(table.mixture ? kMostLanes * sizeof(float) * latents : 0);
  const size_t low_at = reserve(drawn_numbers);
  const size_t drawn_at = reserve(2 * drawn_numbers);
  const size_t row_states_at = reserve(drawn_numbers);
  const size_t states_at = reserve(row * static_cast<size_t>(table.padded_variables()));
  const size_t listed_at = reserve(table.mixture ? row : 0);
  const size_t listed_node_at = reserve(table.mixture ? row : 0);
  const size_t climbing_at = reserve(table.mixture ? row : 0);
  const size_t more_words_at = reserve(table.mixture ? 4 * row : 0);
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(64, bytes)));
  if (memory_ == nullptr) throw std::bad_alloc();
  std::memset(memory_.get(), 0, bytes);  // the padding is computed with
  std::byte* memory = memory_.get();
  normals = reinterpret_cast<float*>(memory + normals_at);
  scores =
      reinterpret_cast<float*>(memory + scores_at) + (table.mixture ? table.mixture->padding * table.tile_rows : 0);
  buckets = reinterpret_cast<int32_t*>(memory + buckets_at);
  values = memory + values_at;
  words = reinterpret_cast<int32_t*>(memory + words_at);
  members = reinterpret_cast<int32_t*>(memory + members_at);
  row_scores = reinterpret_cast<float*>(memory + row_scores_at);
  low = reinterpret_cast<int32_t*>(memory + low_at);
  drawn = reinterpret_cast<AliasEntry*>(memory + drawn_at);
  row_states = reinterpret_cast<int32_t*>(memory + row_states_at);
  states = reinterpret_cast<int32_t*>(memory + states_at);
  listed = reinterpret_cast<int32_t*>(memory + listed_at);
  listed_node = reinterpret_cast<int32_t*>(memory + listed_node_at);
  climbing = reinterpret_cast<int32_t*>(memory + climbing_at);
  more_words = reinterpret_cast<int32_t*>(memory + more_words_at);
}

namespace {

class CpuTableSampler : public PreparedTableSampler {
 public:
  CpuTableSampler(const TableSampler& sampler, const InstructionSet& instructions)
      : table_(prepare_table(sampler)), scratch_(table_), sample_(instructions.sample) {}

  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override {
    check_buffers(table_.columns, columns, rows);
    sample_(table_, scratch_, seed, first_row, rows, columns);
  }

 private:
  PreparedTable table_;
  TileScratch scratch_;
  decltype(InstructionSet::sample) sample_;
};

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cpu_table_sampler(const TableSampler& sampler,
                                                                const InstructionSet& instructions) {
  return std::make_unique<CpuTableSampler>(sampler, instructions);
}

}  // namespace doppel
