#include "engine/models/networks/network_trainer.h"

#include <algorithm>

#include "engine/models/networks/trained_networks.h"

namespace doppel {
namespace {

// The caller's network is what it trains, so that there is nothing to read or write.
class LayersTrainer : public PreparedTrainer {
 public:
  LayersTrainer(Adam<float>& adam, int64_t batch_rows, int64_t inputs)
      : adam_(adam), x_(static_cast<size_t>(batch_rows * inputs)), labels_(static_cast<size_t>(batch_rows)) {}
  Batch batch() override { return {x_.data(), labels_.data()}; }
  TrainingLosses losses() override { return losses_; }
  void set_losses(const TrainingLosses& losses) override { losses_ = losses; }
  void read(std::span<const ParameterState>) override {}
  void write(std::span<const ParameterState>) override {}

 protected:
  void move(const TrainingStep& step) {
    adam_.steps() = step.number - 1;
    adam_.step(step.rate);
  }

  Adam<float>& adam_;
  std::vector<float> x_;
  std::vector<int32_t> labels_;
  TrainingLosses losses_;
};

// Of a VAE of either kind, which takes the rows that forward and backward are called with.
template <class Network>
class VaeTrainer : public LayersTrainer {
 public:
  VaeTrainer(Network& network, Adam<float>& adam, int64_t batch_rows, int64_t inputs)
      : LayersTrainer(adam, batch_rows, inputs), network_(network) {}
  void step(int64_t rows, const TrainingStep& step) override {
    forward(rows, step.draws);
    backward(rows, step.divergence_weight);
    move(step);
  }
  void measure(int64_t rows, const TrainingDraws& draws, bool) override { forward(rows, draws); }

 protected:
  virtual VaeLoss forward(int64_t rows) = 0;
  virtual void backward(int64_t rows, double divergence_weight) = 0;

  Network& network_;
  std::vector<float> noise_;

 private:
  void forward(int64_t rows, const TrainingDraws& draws) {
    noise_.resize(static_cast<size_t>(rows * network_.shape().latent));
    fill_with_normals(draws.seed, draws.use, 1, noise_);
    const VaeLoss loss = forward(rows);
    losses_.loss += loss.reconstruction;
    losses_.divergence += loss.divergence;
  }
};

class ImageVaeTrainer : public VaeTrainer<ImageVaeNetwork<float>> {
 public:
  ImageVaeTrainer(ImageVaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows)
      : VaeTrainer(network, adam, batch_rows, network.shape().image.size()) {}

 private:
  VaeLoss forward(int64_t rows) override { return network_.forward(x_.data(), labels_.data(), noise_.data(), rows); }
  void backward(int64_t rows, double divergence_weight) override {
    network_.backward(x_.data(), labels_.data(), noise_.data(), divergence_weight, rows);
  }
};

class TableVaeTrainer : public VaeTrainer<VaeNetwork<float>> {
 public:
  TableVaeTrainer(VaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows)
      : VaeTrainer(network, adam, batch_rows, 0), codes_(static_cast<size_t>(batch_rows * network.shape().fields())) {}
  Batch batch() override { return {nullptr, nullptr, codes_.data()}; }

 private:
  VaeLoss forward(int64_t rows) override { return network_.forward(codes_.data(), noise_.data(), rows); }
  void backward(int64_t rows, double divergence_weight) override {
    network_.backward(codes_.data(), noise_.data(), divergence_weight, rows);
  }

  std::vector<int32_t> codes_;
};

class ClassifierTrainer : public LayersTrainer {
 public:
  ClassifierTrainer(ClassifierNetwork<float>& network, Adam<float>& adam, AveragedParameters& means, int64_t batch_rows)
      : LayersTrainer(adam, batch_rows, network.shape().image.size()), network_(network), means_(means) {}
  void step(int64_t rows, const TrainingStep& step) override {
    losses_.loss += network_.forward_training(x_.data(), labels_.data(), rows, step.draws.seed, step.draws.use);
    network_.backward(x_.data(), labels_.data(), rows);
    move(step);
    means_.add(step.mean_share);
  }
  void measure(int64_t rows, const TrainingDraws&, bool by_means) override {
    if (by_means) means_.exchange();
    const int32_t classes = network_.shape().classes;
    const float* found = network_.forward(x_.data(), rows);
    losses_.loss += SoftmaxGroups<float>({classes}).loss(found, labels_.data(), rows);
    for (int64_t row = 0; row < rows; ++row, found += classes)
      losses_.right += std::max_element(found, found + classes) - found == labels_[static_cast<size_t>(row)];
    if (by_means) means_.exchange();
  }

 private:
  ClassifierNetwork<float>& network_;
  AveragedParameters& means_;
};

}  // namespace

NetworkTrainer::NetworkTrainer(ImageVaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows,
                               const Backend& backend) {
  const TrainableParameters chain = trainable(network);
  trainer_ = backend.prepare_trainer(chain.network, batch_rows);
  if (!trainer_) trainer_ = std::make_unique<ImageVaeTrainer>(network, adam, batch_rows);
  keep(chain.parameters, network.parameters(), adam, nullptr);
}

NetworkTrainer::NetworkTrainer(VaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows,
                               const Backend& backend) {
  const TrainableParameters chain = trainable(network);
  trainer_ = backend.prepare_trainer(chain.network, batch_rows);
  if (!trainer_) trainer_ = std::make_unique<TableVaeTrainer>(network, adam, batch_rows);
  keep(chain.parameters, network.parameters(), adam, nullptr);
}

NetworkTrainer::NetworkTrainer(ClassifierNetwork<float>& network, Adam<float>& adam, AveragedParameters& means,
                               int64_t batch_rows, const Backend& backend) {
  const TrainableParameters chain = trainable(network);
  trainer_ = backend.prepare_trainer(chain.network, batch_rows);
  if (!trainer_) trainer_ = std::make_unique<ClassifierTrainer>(network, adam, means, batch_rows);
  keep(chain.parameters, parameters_of(network.layers()), adam, &means);
  send();  // the means
}

void NetworkTrainer::keep(const std::vector<Parameter<float>*>& of_trainer,
                          const std::vector<Parameter<float>*>& of_network, Adam<float>& adam,
                          AveragedParameters* means) {
  for (Parameter<float>* parameter : of_trainer) {
    const auto found = std::find(of_network.begin(), of_network.end(), parameter);
    const auto number = static_cast<size_t>(found - of_network.begin());
    kept_.push_back({&parameter->value, &adam.first_moments().at(number), &adam.second_moments().at(number),
                     means ? &means->means().at(number) : nullptr});
  }
}

std::vector<ParameterState> NetworkTrainer::states() const {
  std::vector<ParameterState> states;
  for (const Kept& of : kept_)
    states.push_back(
        {*of.value, *of.first_moment, *of.second_moment, of.mean ? std::span(*of.mean) : std::span<float>()});
  return states;
}

void NetworkTrainer::fetch_values() {
  std::vector<ParameterState> states;
  for (const Kept& of : kept_) states.push_back({*of.value, {}, {}, {}});
  trainer_->read(states);
}

}  // namespace doppel
