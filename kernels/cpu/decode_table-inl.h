// The table decoder over a lane type L, rows in the lanes. Included once per instruction set; `decode_rows` is the
// entry.
//
// Tiles of rows get their latents from the steps of a mixture (sample_mixture-inl.h). Then two vectors of rows at a
// time go through the network: their activations stay in the L1 cache, the weights stream by once. What limits it is
// the multiply-adds, eight independent chains of them.
#include <algorithm>
#include <utility>

#include "kernels/common/math.h"
#include "kernels/cpu/decode_table.h"
#include "kernels/cpu/sample_table-inl.h"

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_DECODE_TABLE_TOGGLE) == defined(HWY_TARGET_TOGGLE) \
                         : !defined(DOPPEL_DECODE_TABLE_TOGGLE)
#ifdef DOPPEL_DECODE_TABLE_TOGGLE
#undef DOPPEL_DECODE_TABLE_TOGGLE
#else
#define DOPPEL_DECODE_TABLE_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// Words of a tile, [4 * blocks, tile rows], as floats by their bits.
template <class L, class One>
void fill_decoder_words(const PreparedDecoder& decoder, uint64_t seed, uint64_t first_row, float* words) {
  const int64_t stride = decoder.table.tile_rows;
  for_each_high_word<L, One>(first_row, stride, [&](auto lanes, int64_t first, int64_t count) {
    using Lanes = decltype(lanes);
    words_of_rows<Lanes>(seed, first_row + static_cast<uint64_t>(first), count, decoder.first_block, decoder.blocks,
                         [=](int64_t row, int32_t block, const typename Lanes::Words* four) {
                           for (int word = 0; word < 4; ++word)
                             Lanes::store(Lanes::float_of_bits(Lanes::int_of_words(four[word])),
                                          words + (4 * block + word) * stride + first + row);
                         });
  });
}

// y [outputs, 2 kLanes] = b + W x, x [inputs, 2 kLanes].
template <class L>
void dense_of_rows(const DensePanels& layer, bool rectify, const float* x, float* y) {
  using Float = typename L::Float;
  constexpr int kOutputs = DensePanels::kOutputs;
  const float* weight = layer.weight.data();
  for (int32_t output = 0; output < layer.outputs; output += kOutputs) {
    Float a[kOutputs], b[kOutputs];
    DOPPEL_UNROLL(4)
    for (int i = 0; i < kOutputs; ++i) a[i] = b[i] = L::set(layer.bias[output + i]);
    const float* from = x;
    for (int32_t k = 0; k < layer.inputs; ++k, from += 2 * L::kLanes, weight += kOutputs) {
      const Float x0 = L::load(from), x1 = L::load(from + L::kLanes);
      DOPPEL_UNROLL(4)
      for (int i = 0; i < kOutputs; ++i) {
        const Float w = L::set(weight[i]);
        a[i] = L::fused(w, x0, a[i]);
        b[i] = L::fused(w, x1, b[i]);
      }
    }
    for (int i = 0; i < kOutputs; ++i, y += 2 * L::kLanes) {
      L::store(rectify ? L::at_least(a[i], L::set(0)) : a[i], y);
      L::store(rectify ? L::at_least(b[i], L::set(0)) : b[i], y + L::kLanes);
    }
  }
}

// In [0, 1).
template <class L>
DOPPEL_PORTABLE typename L::Float uniform_below_one(typename L::Float word) {
  return L::multiply(L::to_float(L::template shift_right<8>(L::bits_of(word))), L::set(0x1p-24f));
}

// One vector of rows: an outcome of the softmax of logits [outcomes, 2 kLanes], which are overwritten.
template <class L>
DOPPEL_PORTABLE typename L::Int draw_of_logits(float* logits, int32_t outcomes, typename L::Float u) {
  constexpr int kStride = 2 * L::kLanes;
  const int32_t end = outcomes * kStride;
  auto most = L::load(logits);
  for (int32_t at = kStride; at < end; at += kStride) most = L::at_least(L::load(logits + at), most);
  auto sum = L::set(0);
  for (int32_t at = 0; at < end; at += kStride) {
    sum = L::fused(exp_below_zero<L>(L::subtract(L::load(logits + at), most)), L::set(1), sum);
    L::store(sum, logits + at);
  }
  const auto bound = L::multiply(u, sum);
  const auto one = L::set_int(1), zero = L::set_int(0);
  auto outcome = zero;
  for (int32_t at = 0; at < end - kStride; at += kStride)
    outcome = L::add_int(outcome, L::if_at_least(bound, L::load(logits + at), one, zero));
  return outcome;
}

// States and scores of 2 kLanes rows of the tile from `row` on.
template <class L>
void draw_of_rows(const PreparedDecoder& decoder, int64_t row, DecoderScratch& scratch, float* logits) {
  const int64_t stride = decoder.table.tile_rows;
  for (int half = 0; half < 2; ++half) {
    float* at = logits + half * L::kLanes;
    const float* words = scratch.words.data() + row + half * L::kLanes;
    int32_t* states = scratch.table.states + row + half * L::kLanes;
    for (const int32_t outcomes : decoder.states) {
      L::store(draw_of_logits<L>(at, outcomes, uniform_below_one<L>(L::load(words))), states);
      at += outcomes * 2 * L::kLanes, words += stride, states += stride;
    }
    float* scores = scratch.table.scores + row + half * L::kLanes;
    for (const int32_t outcomes : decoder.bins) {
      const auto bin = draw_of_logits<L>(at, outcomes, uniform_below_one<L>(L::load(words)));
      const auto place = L::fused(L::to_float(bin), L::set(1), uniform_below_one<L>(L::load(words + stride)));
      const float width = 2 * kScoreLimit / static_cast<float>(outcomes);
      L::store(L::fused(place, L::set(width), L::set(-kScoreLimit)), scores);
      at += outcomes * 2 * L::kLanes, words += 2 * stride, scores += stride;
    }
  }
}

template <class L>
void decode_tile(const PreparedDecoder& decoder, DecoderScratch& scratch) {
  constexpr int kRows = 2 * L::kLanes;
  const int64_t stride = decoder.prior.tile_rows;
  for (int64_t row = 0; row < stride; row += kRows) {
    float *x = scratch.inputs.data(), *y = scratch.outputs.data();
    for (int32_t k = 0; k < decoder.layers.front().inputs; ++k)
      std::copy_n(scratch.prior.scores + k * stride + row, kRows, x + k * kRows);
    for (size_t i = 0; i < decoder.layers.size(); ++i, std::swap(x, y))
      dense_of_rows<L>(decoder.layers[i], i + 1 < decoder.layers.size(), x, y);
    draw_of_rows<L>(decoder, row, scratch, x);
  }
}

template <class L, class One>
void decode_rows(const PreparedDecoder& decoder, DecoderScratch& scratch, uint64_t seed, uint64_t first_row,
                 int64_t rows, std::span<const ColumnBuffer> columns) {
  const PreparedTable& prior = decoder.prior;
  const int64_t tile_rows = prior.tile_rows;
  for (int64_t first = 0; first < rows; first += tile_rows) {
    const uint64_t tile_row = first_row + static_cast<uint64_t>(first);
    fill_normals<L, One>(seed, tile_row, tile_rows, prior.blocks, scratch.prior.normals, tile_rows);
    fill_mixture_words<L, One>(prior, seed, tile_row, scratch.prior.words);
    mixture_of_tile<L, One>(prior, seed, tile_row, scratch.prior);
    fill_decoder_words<L, One>(decoder, seed, tile_row, scratch.words.data());
    decode_tile<L>(decoder, scratch);
    for (size_t column = 0; column < columns.size(); ++column)
      column_of_tile<L>(decoder.table.columns[column], decoder.table, first, std::min(tile_rows, rows - first),
                        scratch.table, columns[column]);
  }
}

DOPPEL_PORTABLE_END
#endif
