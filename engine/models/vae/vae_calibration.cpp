#include "engine/models/vae/vae_calibration.h"

#include <algorithm>
#include <cmath>

namespace doppel {
namespace {

constexpr double kUnseenRows = 0.01;  // added to the count of each code: none is impossible
constexpr int64_t kFewestCalibrationDraws = 1 << 11, kMostCalibrationDraws = 1 << 15, kDrawsPerRow = 2,
                  kDecodedRows = 1024;
constexpr int kRounds = 4;
constexpr double kMostChange = 2;  // of a bias in a round

// Draws from the prior, [draws, latents]: its latents as columns of a table. `draws` is a multiple of 16.
std::vector<float> draw_latents(TableSampler prior, size_t draws, uint64_t seed, const Backend& backend) {
  const auto latents = static_cast<size_t>(prior.latents);
  constexpr double kFar = 1e6;
  for (int32_t k = 0; k < prior.latents; ++k) {
    ColumnSampler& column = prior.columns.emplace_back();
    column.storage = Storage::kFloat32;
    column.transform = Transform::kLinear;
    column.latent = k;
    column.minimum = -kFar;
    column.maximum = kFar;
  }
  struct alignas(64) Line {
    float values[16];
  };
  std::vector<Line> memory(latents * draws / 16);
  std::vector<ColumnBuffer> buffers;
  for (size_t k = 0; k < latents; ++k) buffers.push_back({memory.data() + k * draws / 16, nullptr});
  backend.prepare_table_sampler(prior)->sample(seed, 0, static_cast<int64_t>(draws), buffers);
  std::vector<float> drawn(draws * latents);
  for (size_t k = 0; k < latents; ++k)
    for (size_t row = 0; row < draws; ++row)
      drawn[row * latents + k] = static_cast<const float*>(buffers[k].values)[row];
  return drawn;
}

// Which codes of an axis's variable leave the value to the latent: 1, others 0. Empty where it always counts.
std::vector<double> counting_states(const MixtureSpace& space, size_t axis) {
  const int32_t v = space.axes[axis].variable;
  if (v < 0) return {};
  const MixtureVariable& variable = space.variables[static_cast<size_t>(v)];
  std::vector<double> counts(static_cast<size_t>(variable.states));
  for (size_t c = 0; c < variable.columns.size(); ++c)
    for (int32_t s = 0; s < variable.states && variable.columns[c].column == space.axes[axis].column; ++s)
      counts[static_cast<size_t>(s)] = variable.part(s, c).role == StateRole::kLatent ? 1 : 0;
  return counts;
}

// Mean probabilities of a field's codes, of an axis among the rows where it counts.
class MeanProbabilities {
 public:
  explicit MeanProbabilities(const CodeSpace& codes) : codes_(codes) {
    size_t outputs = 0;
    for (const int32_t of_field : codes.codes) {
      first_.push_back(outputs);
      outputs += static_cast<size_t>(of_field);
    }
    const size_t variables = codes.space.variables.size();
    for (size_t f = 0; f < codes.fields(); ++f)
      counting_.push_back(f < variables || codes.bins.empty() ? std::vector<double>()
                                                              : counting_states(codes.space, f - variables));
    sum_.resize(outputs);
    weight_.resize(codes.fields());
  }
  void add(const float* probabilities, int64_t rows) {
    for (int64_t row = 0; row < rows; ++row, probabilities += sum_.size())
      for (size_t f = 0; f < codes_.fields(); ++f) {
        const double weight = weight_of(f, probabilities);
        weight_[f] += weight;
        const auto codes = static_cast<size_t>(codes_.codes[f]);
        for (size_t i = first_[f]; i < first_[f] + codes; ++i)
          sum_[i] += weight * static_cast<double>(probabilities[i]);
      }
  }
  double mean(size_t field, size_t code) const { return sum_[first_[field] + code] / std::max(weight_[field], 1e-12); }

 private:
  double weight_of(size_t field, const float* probabilities) const {
    if (counting_[field].empty()) return 1;
    const auto axis = field - codes_.space.variables.size();
    const float* of_variable = probabilities + first_[static_cast<size_t>(codes_.space.axes[axis].variable)];
    double weight = 0;
    for (size_t s = 0; s < counting_[field].size(); ++s)
      weight += counting_[field][s] * static_cast<double>(of_variable[s]);
    return weight;
  }

  const CodeSpace& codes_;
  std::vector<size_t> first_;                  // [fields] output of each field's first code
  std::vector<std::vector<double>> counting_;  // [fields]
  std::vector<double> sum_, weight_;
};

}  // namespace

std::vector<std::vector<double>> code_shares(const CodeSpace& codes, const std::vector<const CodedRows*>& rows) {
  std::vector<std::vector<double>> shares;
  for (const int32_t of_field : codes.codes) shares.emplace_back(of_field, kUnseenRows);
  for (const CodedRows* coded : rows)
    for (size_t i = 0; i < coded->codes.size(); ++i)
      if (coded->codes[i] >= 0) shares[i % codes.fields()][static_cast<size_t>(coded->codes[i])] += 1;
  for (std::vector<double>& of_field : shares) {
    double total = 0;
    for (const double share : of_field) total += share;
    for (double& share : of_field) share /= total;
  }
  return shares;
}

void calibrate(VaeNetwork<float>& network, const CodeSpace& codes, const TableDecoder& decoder,
               const std::vector<std::vector<double>>& shares, int64_t rows, uint64_t seed, const Backend& backend) {
  const int64_t draws =
      std::clamp(kDrawsPerRow * rows, kFewestCalibrationDraws, kMostCalibrationDraws) / kDecodedRows * kDecodedRows;
  const std::vector<float> latents = draw_latents(decoder.prior, static_cast<size_t>(draws), seed, backend);
  for (int round = 0; round < kRounds; ++round) {
    MeanProbabilities means(codes);
    for (int64_t first = 0; first < draws; first += kDecodedRows)
      means.add(network.decode(latents.data() + first * decoder.prior.latents, kDecodedRows), kDecodedRows);
    size_t output = 0;
    for (size_t f = 0; f < codes.fields(); ++f)
      for (size_t code = 0; code < shares[f].size(); ++code, ++output) {
        constexpr double kLeast = 1e-12;
        const double change = std::log(shares[f][code] / std::max(means.mean(f, code), kLeast));
        network.decoder_out().bias.value[output] += static_cast<float>(std::clamp(change, -kMostChange, kMostChange));
      }
  }
}

}  // namespace doppel
