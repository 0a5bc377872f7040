// A step of training by the definitions, in double, to judge backends by.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"
#include "kernels/trainer.h"
#include "tests/kernels/network_cases.h"

namespace doppel {

using Values = std::vector<double>;

// What factors of products are rounded to before they are multiplied.
using Rounding = std::function<double(double)>;
inline double to_tf32(double x) {
  int exponent = 0;
  const double fraction = std::frexp(static_cast<double>(static_cast<float>(x)), &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 11)), exponent - 11);
}
inline double as_it_is(double x) {
  return x;
}

struct ReferenceStep {
  TrainingLosses losses;
  std::vector<Values> gradients;  // of the mean loss, as PreparedTrainer::read orders parameters
};

// Calls visit(output, input, weight) for the products that one row's sums are made of. of_codes: weights are [inputs,
// outputs].
template <class Visit>
void for_each_product(const TrainedLayer& layer, bool of_codes, const Visit& visit) {
  const ConvShape& s = layer.shape;
  if (layer.kind == TrainedLayer::Kind::kDense) {
    for (int64_t o = 0; o < layer.outputs; ++o)
      for (int64_t i = 0; i < layer.inputs; ++i) visit(o, i, of_codes ? i * layer.outputs + o : o * layer.inputs + i);
    return;
  }
  for (int64_t oy = 0; oy < s.output_height(); ++oy)
    for (int64_t ox = 0; ox < s.output_width(); ++ox)
      for (int64_t ky = 0; ky < s.kernel; ++ky)
        for (int64_t kx = 0; kx < s.kernel; ++kx) {
          const int64_t iy = oy * s.stride + ky - s.padding, ix = ox * s.stride + kx - s.padding;
          if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
          for (int64_t o = 0; o < s.outputs; ++o)
            for (int64_t i = 0; i < s.inputs; ++i) {
              const int64_t small = (oy * s.output_width() + ox) * s.outputs + o,
                            large = (iy * s.width + ix) * s.inputs + i;
              const int64_t weight = ((o * s.inputs + i) * s.kernel + ky) * s.kernel + kx;
              if (layer.kind == TrainedLayer::Kind::kConvolution)
                visit(small, large, weight);
              else
                visit(large, small, weight);
            }
        }
}

class ReferenceTrainer {
 public:
  ReferenceTrainer(const TrainableNetwork& network, Rounding rounding)
      : network_(network), round_(std::move(rounding)) {}

  // Of a network of codes, `labels` are the codes, and x is not looked at.
  ReferenceStep run(const float* x, const int32_t* labels, int64_t rows, const TrainingDraws& draws,
                    double divergence_weight, bool is_step) {
    ReferenceStep step;
    for (const TrainableLayer& of_chain : network_.layers)
      for (const auto* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
        if (!some->empty()) step.gradients.emplace_back(some->size());
    const auto fields = static_cast<int64_t>(network_.codes.size());
    for (int64_t row = 0; row < rows; ++row)
      run_row(fields > 0 ? nullptr : x + row * network_.inputs(), labels + row * std::max<int64_t>(fields, 1), row,
              1 / static_cast<double>(rows), draws, divergence_weight, is_step, step);
    return step;
  }

 private:
  static size_t at(int64_t i) { return static_cast<size_t>(i); }
  static double normal(const TrainingDraws& draws, uint32_t use, int64_t i) {
    const auto words = philox_words(draws.seed, static_cast<uint64_t>(i / 2), draws.use + use, Stream::kFit);
    float pair[2];
    portable::box_muller<PlainLanes>(static_cast<int32_t>(words[0]), static_cast<int32_t>(words[1]), pair[0], pair[1]);
    return static_cast<double>(pair[i % 2]);
  }
  static bool is_kept(const TrainingDraws& draws, const TrainableLayer& layer, int64_t i) {
    const auto words = philox_words(draws.seed, static_cast<uint64_t>(i / 16), draws.use + layer.use, Stream::kFit);
    uint8_t bytes[16];
    std::memcpy(bytes, words.data(), sizeof bytes);
    return bytes[i % 16] >= layer.dropped;
  }
  static double kept_scale(const TrainableLayer& layer) { return 256.0 / (256 - layer.dropped); }

  bool is_of_codes(const TrainedLayer& layer) const {
    return !network_.codes.empty() && &layer == &network_.layers.front().layer;
  }
  // 1 for each of the row's codes, 0 elsewhere.
  Values indicators(const int32_t* codes) const {
    Values x;
    for (const int32_t of_field : network_.codes) {
      const size_t first = x.size();
      x.resize(first + static_cast<size_t>(of_field));
      if (*codes >= 0) x[first + static_cast<size_t>(*codes)] = 1;
      ++codes;
    }
    return x;
  }

  // Where in a window the first of the largest lies.
  static int64_t largest(const ConvShape& s, const Values& x, int64_t output) {
    const int64_t c = output % s.inputs, ox = output / s.inputs % s.output_width(),
                  oy = output / s.inputs / s.output_width();
    int64_t best = -1;
    for (int64_t part = 0; part < s.kernel * s.kernel; ++part) {
      const int64_t y = oy * s.kernel + part / s.kernel, column = ox * s.kernel + part % s.kernel;
      const int64_t place = (y * s.width + column) * s.inputs + c;
      if (best < 0 || x[at(place)] > x[at(best)]) best = place;
    }
    return best;
  }

  Values sums_of(const TrainedLayer& layer, const Values& x, int32_t label) const {
    Values y(at(layer.outputs));
    if (layer.kind == TrainedLayer::Kind::kMaxPool) {
      for (int64_t o = 0; o < layer.outputs; ++o) y[at(o)] = x[at(largest(layer.shape, x, o))];
      return y;
    }
    for_each_product(layer, is_of_codes(layer), [&](int64_t o, int64_t i, int64_t w) {
      y[at(o)] += round_(static_cast<double>(layer.weight[at(w)])) * round_(x[at(i)]);
    });
    for (size_t o = 0; o < y.size(); ++o) {
      y[o] += static_cast<double>(layer.bias[o % layer.bias.size()]);
      if (!layer.label_weight.empty()) y[o] += static_cast<double>(layer.label_weight[at(label) * y.size() + o]);
    }
    return y;
  }

  // The cross-entropy of a class, of the outputs from `first` on; sets its gradient.
  static double class_loss(const Values& y, size_t first, size_t classes, int32_t label, Values& gradient) {
    const auto begin = y.begin() + static_cast<std::ptrdiff_t>(first);
    const double most = *std::max_element(begin, begin + static_cast<std::ptrdiff_t>(classes));
    double sum = 0;
    for (size_t c = 0; c < classes; ++c) sum += std::exp(y[first + c] - most);
    for (size_t c = 0; c < classes; ++c)
      gradient[first + c] = std::exp(y[first + c] - most) / sum - (c == at(label) ? 1 : 0);
    return std::log(sum) + most - y[first + at(label)];
  }

  // The row's loss, and its gradient by the outputs.
  double loss_of(const float* x, const int32_t* labels, const Values& y, Values& gradient, ReferenceStep& step) const {
    const auto log_sigmoid = [](double v) { return std::min(v, 0.0) - std::log1p(std::exp(-std::abs(v))); };
    const auto sigmoid = [](double v) { return 1 / (1 + std::exp(-v)); };
    gradient.assign(y.size(), 0);
    double loss = 0;
    if (network_.loss == TrainingLoss::kSoftmax) {
      step.losses.right += std::max_element(y.begin(), y.end()) - y.begin() == labels[0];
      return class_loss(y, 0, y.size(), labels[0], gradient);
    }
    if (network_.loss == TrainingLoss::kCodes) {
      size_t first = 0;
      for (const int32_t of_field : network_.codes) {
        if (*labels >= 0) loss += class_loss(y, first, at(of_field), *labels, gradient);
        first += at(of_field), ++labels;
      }
      return loss;
    }
    for (int64_t p = 0; p < network_.inputs(); ++p) {
      const double t = static_cast<double>(x[p]);
      if (network_.loss == TrainingLoss::kBernoulli) {
        loss -= t * log_sigmoid(y[at(p)]) + (1 - t) * log_sigmoid(-y[at(p)]);
        gradient[at(p)] = sigmoid(y[at(p)]) - t;
        continue;
      }
      const double half = 0.5 / 255, log_scale = std::max(y[at(2 * p + 1)], -7.0), mean = y[at(2 * p)];
      const double above = (t + half - mean) * std::exp(-log_scale), below = (t - half - mean) * std::exp(-log_scale);
      const bool is_first = t <= half, is_last = t >= 1 - half;
      // Densities over the bin's share, sigmoid(above) sigmoid(-below) (1 - exp(-width)), at its ends.
      const double inner = -std::expm1(below - above);
      double of_above = 0, of_below = 0;
      if (is_first) {
        loss -= log_sigmoid(above);
        of_above = sigmoid(-above);
      } else if (is_last) {
        loss -= log_sigmoid(-below);
        of_below = sigmoid(below);
      } else {
        loss -= log_sigmoid(above) + log_sigmoid(-below) + std::log(inner);
        of_above = std::exp(log_sigmoid(-above) - log_sigmoid(-below)) / inner;
        of_below = std::exp(log_sigmoid(below) - log_sigmoid(above)) / inner;
      }
      gradient[at(2 * p)] = (of_above - of_below) * std::exp(-log_scale);
      gradient[at(2 * p + 1)] = y[at(2 * p + 1)] < -7 ? 0 : of_above * above - of_below * below;
    }
    return loss;
  }

  void run_row(const float* x, const int32_t* labels, int64_t row, double weight, const TrainingDraws& draws,
               double divergence_weight, bool is_step, ReferenceStep& step) {
    const size_t count = network_.layers.size();
    std::vector<Values> given(count), y(count);
    const int32_t label = network_.codes.empty() ? labels[0] : 0;
    Values values = network_.codes.empty() ? Values(x, x + network_.inputs()) : indicators(labels), noise;
    for (size_t l = 0; l < count; ++l) {
      const TrainableLayer& of_chain = network_.layers[l];
      given[l] = values;
      values = sums_of(of_chain.layer, values, label);
      if (of_chain.layer.rectified)
        for (double& v : values) v = std::max(v, 0.0);
      for (size_t i = 0; is_step && of_chain.dropped > 0 && i < values.size(); ++i)
        values[i] *=
            is_kept(draws, of_chain, row * of_chain.layer.outputs + static_cast<int64_t>(i)) ? kept_scale(of_chain) : 0;
      y[l] = values;
      if (!of_chain.is_gaussian) continue;
      const size_t latent = values.size() / 2;
      noise.resize(latent);
      values.resize(latent);
      for (size_t k = 0; k < latent; ++k) {
        const double mean = y[l][k], log_variance = y[l][latent + k];
        noise[k] = normal(draws, of_chain.use, row * static_cast<int64_t>(latent) + static_cast<int64_t>(k));
        values[k] = mean + std::exp(log_variance / 2) * noise[k];
        step.losses.divergence += 0.5 * (mean * mean + std::exp(log_variance) - 1 - log_variance);
      }
    }
    Values gradient;
    step.losses.loss += loss_of(x, labels, values, gradient, step);
    for (double& g : gradient) g *= weight;

    size_t parameter = step.gradients.size();
    for (size_t l = count; l-- > 0;) {
      const TrainableLayer& of_chain = network_.layers[l];
      const TrainedLayer& layer = of_chain.layer;
      if (of_chain.is_gaussian) {
        const size_t latent = gradient.size();
        Values heads(2 * latent);
        for (size_t k = 0; k < latent; ++k) {
          const double deviation = std::exp(y[l][latent + k] / 2), part = weight * divergence_weight;
          heads[k] = gradient[k] + part * y[l][k];
          heads[latent + k] = (gradient[k] * noise[k] * deviation + part * (deviation * deviation - 1)) / 2;
        }
        gradient = heads;
      }
      for (size_t i = 0; layer.rectified && i < gradient.size(); ++i)
        gradient[i] *= y[l][i] > 0 ? (is_step && of_chain.dropped > 0 ? kept_scale(of_chain) : 1) : 0;
      Values before(given[l].size());
      if (layer.kind == TrainedLayer::Kind::kMaxPool) {
        for (int64_t o = 0; o < layer.outputs; ++o) before[at(largest(layer.shape, given[l], o))] += gradient[at(o)];
      } else {
        if (!layer.label_weight.empty()) {
          --parameter;
          for (size_t o = 0; o < gradient.size(); ++o)
            step.gradients[parameter][at(label) * gradient.size() + o] += gradient[o];
        }
        --parameter;
        for (size_t o = 0; o < gradient.size(); ++o) step.gradients[parameter][o % layer.bias.size()] += gradient[o];
        --parameter;
        for_each_product(layer, is_of_codes(layer), [&](int64_t o, int64_t i, int64_t w) {
          step.gradients[parameter][at(w)] += round_(gradient[at(o)]) * round_(given[l][at(i)]);
          before[at(i)] += round_(gradient[at(o)]) * round_(static_cast<double>(layer.weight[at(w)]));
        });
      }
      gradient = std::move(before);
    }
  }

  const TrainableNetwork& network_;
  Rounding round_;
};

// ---- networks

inline TrainableLayer trainable(TrainedLayer layer, bool is_gaussian = false, uint32_t dropped = 0, uint32_t use = 0) {
  return {std::move(layer), is_gaussian, dropped, use};
}
inline TrainedLayer rectified_pool(int64_t channels, int64_t height, int64_t width) {
  TrainedLayer pool = max_pool(channels, height, width, 2);
  pool.rectified = true;
  return pool;
}

// A VAE of dense layers; labels 0: none.
inline TrainableNetwork dense_vae(int64_t pixels, int64_t hidden, int64_t latent, int64_t labels, TrainingLoss loss) {
  const int64_t outputs = loss == TrainingLoss::kLogistic ? 2 * pixels : pixels;
  return {
      {trainable(random_dense(pixels, hidden, true, labels, 1)),
       trainable(random_dense(hidden, 2 * latent, false, 0, 2), true, 0, 5),
       trainable(random_dense(latent, hidden, true, labels, 3)), trainable(random_dense(hidden, outputs, false, 0, 4))},
      loss};
}

// A VAE of rows of codes.
inline TrainableNetwork code_vae(std::vector<int32_t> codes, int64_t hidden, int64_t latent) {
  const int64_t all = std::accumulate(codes.begin(), codes.end(), int64_t{0});
  return {
      {trainable(random_dense(all, hidden, true, 0, 1)), trainable(random_dense(hidden, 2 * latent, false, 0, 2), true),
       trainable(random_dense(latent, hidden, true, 0, 3)), trainable(random_dense(hidden, all, false, 0, 4))},
      TrainingLoss::kCodes,
      std::move(codes)};
}

// Of convolutions: images [height, width, channels].
inline TrainableNetwork image_vae(const ConvShape& block, int64_t latent, TrainingLoss loss) {
  ConvShape back = block;
  if (loss == TrainingLoss::kLogistic) back.inputs *= 2;
  const int64_t reduced = block.output_size();
  using Kind = TrainedLayer::Kind;
  return {{trainable(random_image_layer(Kind::kConvolution, block, true, 1)),
           trainable(random_dense(reduced, 2 * latent, false, 0, 2), true),
           trainable(random_dense(latent, reduced, true, 2, 3)),
           trainable(random_image_layer(Kind::kTransposed, back, false, 4))},
          loss};
}

inline TrainableNetwork image_classifier(const ConvShape& block, int64_t classes) {
  const int64_t height = block.output_height(), width = block.output_width();
  const int64_t reduced = (height / 2) * (width / 2) * block.outputs;
  using Kind = TrainedLayer::Kind;
  return {{trainable(random_image_layer(Kind::kConvolution, block, false, 1)),
           trainable(rectified_pool(block.outputs, height, width), false, 64),
           trainable(random_dense(reduced, 9, true, 0, 2), false, 128, 1),
           trainable(random_dense(9, classes, false, 0, 3))},
          TrainingLoss::kSoftmax};
}

}  // namespace doppel
