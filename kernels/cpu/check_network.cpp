#include <string>

#include "kernels/common/error.h"
#include "kernels/network.h"
#include "kernels/trainer.h"

namespace doppel {
namespace {

// `rectified_pool`: may it be one?
void check_layer(const TrainedLayer& layer, bool rectified_pool) {
  const ConvShape& s = layer.shape;
  const auto expect = [](bool holds, const char* what) {
    if (!holds) throw Error(std::string("a layer of a network: ") + what);
  };
  const auto values = [](int64_t count) { return static_cast<size_t>(count); };
  expect(layer.inputs > 0 && layer.outputs > 0, "takes or gives nothing");
  expect(layer.kind == TrainedLayer::Kind::kDense || layer.label_weight.empty(), "labels are of dense ones");
  if (layer.kind == TrainedLayer::Kind::kDense) {
    expect(layer.weight.size() == values(layer.inputs * layer.outputs), "its weights are not [outputs, inputs]");
    expect(layer.bias.size() == values(layer.outputs), "its biases are not [outputs]");
    expect(layer.label_weight.size() % values(layer.outputs) == 0, "its labels' weights are not [labels, outputs]");
    return;
  }
  expect(s.inputs > 0 && s.outputs > 0 && s.kernel > 0 && s.stride > 0 && s.padding >= 0 && s.padding < s.kernel &&
             s.output_height() > 0 && s.output_width() > 0,
         "its images have no pixels or its kernel none");
  const bool is_transposed = layer.kind == TrainedLayer::Kind::kTransposed;
  expect(layer.inputs == (is_transposed ? s.output_size() : s.input_size()) &&
             layer.outputs == (is_transposed ? s.input_size() : s.output_size()),
         "its values are not those of its images");
  if (layer.kind == TrainedLayer::Kind::kMaxPool) {
    expect(s.inputs == s.outputs && s.stride == s.kernel && s.padding == 0 && (rectified_pool || !layer.rectified) &&
               layer.weight.empty(),
           "a pool's windows lie side by side and it has no weights");
    return;
  }
  expect(layer.weight.size() == values(s.weights()), "its weights are not [outputs, inputs, kernel, kernel]");
  expect(layer.bias.size() == values(is_transposed ? s.inputs : s.outputs), "its biases are not a channel's each");
}

}  // namespace

void check_trained_network(const TrainedNetwork& network) {
  if (network.layers.empty()) throw Error("a network without layers");
  for (size_t i = 0; i < network.layers.size(); ++i) {
    check_layer(network.layers[i], false);
    if (i > 0 && network.layers[i].inputs != network.layers[i - 1].outputs)
      throw Error("a layer of a network takes another number of values than the one before gives");
  }
  if (network.layers.back().kind == TrainedLayer::Kind::kMaxPool) throw Error("a network that ends in a pool");
}

void check_trainable_network(const TrainableNetwork& network) {
  const auto expect = [](bool holds, const char* what) {
    if (!holds) throw Error(std::string("a network to be trained: ") + what);
  };
  expect(!network.layers.empty(), "it has no layers");
  int64_t given = network.inputs();
  for (const TrainableLayer& of_chain : network.layers) {
    const TrainedLayer& layer = of_chain.layer;
    check_layer(layer, true);
    expect(layer.inputs == given, "a layer takes another number of values than the one before gives");
    expect(of_chain.dropped < kDropoutShares && (of_chain.dropped == 0 || layer.rectified),
           "what drops out are rectified values, and not all of them");
    expect(!of_chain.is_gaussian || (layer.outputs % 2 == 0 && !layer.rectified),
           "Gaussians are means and log variances");
    given = of_chain.is_gaussian ? layer.outputs / 2 : layer.outputs;
  }
  const TrainableLayer& last = network.layers.back();
  expect(!last.is_gaussian && !last.layer.rectified && last.layer.kind != TrainedLayer::Kind::kMaxPool,
         "it ends in sums");
  const bool of_codes = network.loss == TrainingLoss::kCodes;
  expect(of_codes == !network.codes.empty(), "codes are what a loss of codes is of, and no other");
  if (of_codes) {
    int64_t codes = 0;
    for (const int32_t of_field : network.codes) {
      expect(of_field > 0, "a field has no codes");
      codes += of_field;
    }
    expect(network.layers.front().layer.kind == TrainedLayer::Kind::kDense, "the first layer of codes is no dense one");
    expect(network.inputs() == codes && network.outputs() == codes, "its inputs or outputs are not of its codes");
  }
  const int64_t outputs_of_pixel = network.loss == TrainingLoss::kLogistic ? 2 : 1;
  expect(of_codes || network.loss == TrainingLoss::kSoftmax || network.outputs() == outputs_of_pixel * network.inputs(),
         "its outputs are not of its inputs' pixels");
}

}  // namespace doppel
