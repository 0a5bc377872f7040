#include "engine/table_generator.h"

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>

#include "kernels/common/error.h"

namespace doppel {
namespace {

OutputSchema make_output_schema(const TableRecipe& recipe) {
  OutputSchema output;
  for (size_t c = 0; c < recipe.schema.columns.size(); ++c) {
    OutputColumn& column = output.columns.emplace_back();
    column.schema = recipe.schema.columns[c];
    if (column.schema.kind == ColumnKind::kKey || column.schema.kind == ColumnKind::kText)
      column.texts = make_text_source(column.schema, recipe.texts[c], static_cast<uint32_t>(c));
  }
  for (size_t i = 0; i < recipe.sampled.size(); ++i)
    output.columns[recipe.sampled[i]].storage = recipe.sampler.columns[i].storage;
  return output;
}

class TableRowSampler : public RowSampler {
 public:
  TableRowSampler(const TableRecipe& recipe, const OutputSchema& schema, uint64_t seed,
                  std::unique_ptr<PreparedTableSampler> prepared)
      : recipe_(recipe), seed_(seed), prepared_(std::move(prepared)), buffers_(recipe.sampled.size()) {
    std::vector<bool> is_sampled(schema.columns.size());
    for (const int32_t column : recipe.sampled) is_sampled[column] = true;
    for (size_t c = 0; c < schema.columns.size(); ++c)
      if (!is_sampled[c]) fixed_.push_back({c, schema.columns[c].schema.kind != ColumnKind::kEmpty});
  }

  Batch make_batch(const OutputSchema& schema, int64_t capacity) const override {
    return Batch(schema, capacity, [this](size_t bytes) { return prepared_->allocate(bytes); });
  }
  size_t preferred_bytes() const override { return prepared_->preferred_bytes(); }

  void sample(uint64_t first_row, int64_t rows, Batch& batch) override {
    reserve_scratch(batch.capacity());
    for (size_t i = 0; i < buffers_.size(); ++i) {
      buffers_[i] = batch.buffer(recipe_.sampled[i]);
      if (buffers_[i].values == nullptr) buffers_[i].values = scratch_.get();
    }
    if (!buffers_.empty()) prepared_->sample(seed_, first_row, rows, buffers_);
    for (const FixedValidity& fixed : fixed_)
      fill_validity(batch.buffer(fixed.column).validity, rows, fixed.is_present);
    batch.seed = seed_;
    batch.first_row = first_row;
    batch.rows = rows;
  }

 private:
  // A column that is not sampled: every row, or no row, has a value.
  struct FixedValidity {
    size_t column;
    bool is_present;
  };
  // A key's gaps are sampled, its values are not: they go here.
  void reserve_scratch(int64_t capacity) {
    if (capacity <= scratch_rows_) return;
    scratch_ = prepared_->allocate(static_cast<size_t>(capacity) * sizeof(int64_t));
    scratch_rows_ = capacity;
  }

  static void fill_validity(uint8_t* bits, int64_t rows, bool is_present) {
    if (bits == nullptr) return;
    std::memset(bits, is_present ? 0xff : 0, static_cast<size_t>(rows + 7) / 8);
    if (is_present && rows % 8 != 0) bits[rows / 8] = static_cast<uint8_t>((1 << rows % 8) - 1);
  }

  const TableRecipe& recipe_;
  uint64_t seed_;
  std::unique_ptr<PreparedTableSampler> prepared_;
  std::vector<ColumnBuffer> buffers_;  // of the sampled columns
  std::vector<FixedValidity> fixed_;
  HostMemory scratch_{nullptr, nullptr};
  int64_t scratch_rows_ = 0;
};

class TableGenerator : public Generator {
 public:
  TableGenerator(std::shared_ptr<const TableRecipe> recipe, uint64_t seed, PrepareTableSampler prepare)
      : recipe_(std::move(recipe)), schema_(make_output_schema(*recipe_)), seed_(seed), prepare_(std::move(prepare)) {}
  const OutputSchema& schema() const override { return schema_; }
  uint64_t seed() const override { return seed_; }
  std::unique_ptr<RowSampler> make_sampler() const override {
    return std::make_unique<TableRowSampler>(*recipe_, schema_, seed_, prepare_());
  }

 private:
  std::shared_ptr<const TableRecipe> recipe_;
  OutputSchema schema_;
  uint64_t seed_;
  PrepareTableSampler prepare_;
};

[[noreturn]] void contradiction(const ColumnSchema& column, const std::string& what) {
  throw Error("the model contradicts itself: " + what + " (column '" + column.name + "')");
}

// Whether every integer that a column can give is within [least, greatest]. A column without latent values has no
// segments, but a transform that means nothing.
bool stays_within(const ColumnSampler& column, int64_t least, int64_t greatest) {
  for (size_t state = 0; state < column.state_role.size(); ++state)
    if (column.state_role[state] == StateRole::kValue &&
        (column.state_integer[state] < least || column.state_integer[state] > greatest))
      return false;
  if (!column.has_latent()) return true;
  if (column.transform == Transform::kLinear)
    return column.minimum >= static_cast<double>(least) && column.maximum <= static_cast<double>(greatest);
  for (size_t s = 0; s < column.base.size(); ++s)
    if (column.base[s] < least || column.base[s] > greatest || column.width[s] - 1 > greatest - column.base[s])
      return false;
  return true;
}

void check_column(const ColumnSchema& schema, const ColumnSampler& column) {
  const bool is_whole = is_integer(column.storage);
  if (schema.kind == ColumnKind::kReal) {
    if (is_whole) contradiction(schema, "real numbers stored as whole ones");
    return;
  }
  if (!is_whole) contradiction(schema, "whole numbers stored as real ones");
  if (schema.kind == ColumnKind::kBoolean || schema.kind == ColumnKind::kCategory ||
      schema.kind == ColumnKind::kConstant) {
    const auto levels = static_cast<int64_t>(schema.levels.size());
    if (column.storage != Storage::kInt32 || !stays_within(column, 0, levels - 1))
      contradiction(schema, "a level that is not listed");
  }
}

std::vector<int64_t> extents(size_t count) {
  return {static_cast<int64_t>(count)};
}

template <class T>
Tensor list_of(const std::vector<T>& values) {
  return Tensor::from(values, extents(values.size()));
}

// One tensor of all columns' segments, column after column.
template <class T>
Tensor joined(const TableSampler& sampler, const std::vector<T> ColumnSampler::*member) {
  std::vector<T> all;
  for (const ColumnSampler& column : sampler.columns)
    all.insert(all.end(), (column.*member).begin(), (column.*member).end());
  return list_of(all);
}

template <class T, class Function>
Tensor of_columns(const TableSampler& sampler, Function value_of) {
  std::vector<T> values;
  for (const ColumnSampler& column : sampler.columns) values.push_back(static_cast<T>(value_of(column)));
  return list_of(values);
}

// The members of a column that hold one number a segment, if it has such segments.
constexpr const char* kIntegerTensors[] = {"segments.base", "segments.width"};
constexpr const char* kScaleTensor = "segments.scale";
constexpr const char* kRealTensors[] = {"segments.real_base", "segments.real_top", "segments.real_slope"};
constexpr std::vector<int64_t> ColumnSampler::*kIntegerMembers[] = {&ColumnSampler::base, &ColumnSampler::width};
constexpr std::vector<double> ColumnSampler::*kRealMembers[] = {&ColumnSampler::real_base, &ColumnSampler::real_top,
                                                                &ColumnSampler::real_slope};

// Deals out what `joined` put together.
template <class T>
class Dealer {
 public:
  Dealer(const ModelFile& file, const std::string& name) : name_(name), values_(file.tensor(name, {-1}).to<T>()) {}
  std::vector<T> take(int64_t count) {
    if (count < 0 || count > left()) throw InputError("model file: tensor '" + name_ + "' is too short");
    const auto first = values_.begin() + next_;
    next_ += count;
    return std::vector<T>(first, first + count);
  }
  int64_t left() const { return static_cast<int64_t>(values_.size()) - next_; }
  void finish() const {
    if (next_ != static_cast<int64_t>(values_.size()))
      throw InputError("model file: tensor '" + name_ + "' is too long");
  }

 private:
  std::string name_;
  std::vector<T> values_;
  int64_t next_ = 0;
};

void load_columns(const ModelFile& file, TableSampler& sampler, size_t columns) {
  const std::vector<int64_t> shape = extents(columns);
  const auto storage = file.tensor("columns.storage", shape).to<uint8_t>(),
             transform = file.tensor("columns.transform", shape).to<uint8_t>();
  const auto latent = file.tensor("columns.latent", shape).to<int32_t>(),
             gap = file.tensor("columns.missing_latent", shape).to<int32_t>();
  const auto threshold = file.tensor("columns.missing_threshold", shape).to<float>();
  const auto segments = file.tensor("columns.segments", shape).to<int64_t>();
  const auto linear = file.tensor("columns.linear", {static_cast<int64_t>(columns), 4}).to<double>();
  Dealer<float> lower(file, "segments.lower");
  Dealer<int64_t> base(file, kIntegerTensors[0]), width(file, kIntegerTensors[1]);
  Dealer<double> scale(file, kScaleTensor), real_base(file, kRealTensors[0]), real_top(file, kRealTensors[1]),
      real_slope(file, kRealTensors[2]);
  for (size_t i = 0; i < columns; ++i) {
    ColumnSampler& column = sampler.columns.emplace_back();
    if (storage[i] > static_cast<uint8_t>(Storage::kFloat64) || transform[i] > static_cast<uint8_t>(Transform::kLinear))
      throw InputError("model file: a column's storage or transform is unknown; it may be of a newer version");
    column.storage = static_cast<Storage>(storage[i]);
    column.transform = static_cast<Transform>(transform[i]);
    column.latent = latent[i];
    column.missing_latent = gap[i];
    column.missing_threshold = threshold[i];
    column.mean = linear[4 * i], column.deviation = linear[4 * i + 1];
    column.minimum = linear[4 * i + 2], column.maximum = linear[4 * i + 3];
    column.lower = lower.take(segments[i]);
    const bool is_whole = is_integer(column.storage);
    column.base = base.take(is_whole ? segments[i] : 0);
    column.width = width.take(is_whole ? segments[i] : 0);
    column.scale = scale.take(is_whole ? segments[i] : 0);
    column.real_base = real_base.take(is_whole ? 0 : segments[i]);
    column.real_top = real_top.take(is_whole ? 0 : segments[i]);
    column.real_slope = real_slope.take(is_whole ? 0 : segments[i]);
  }
  lower.finish(), base.finish(), width.finish(), scale.finish(), real_base.finish(), real_top.finish(),
      real_slope.finish();
}

// ---- mixtures: tensors that the file of another model lacks. Words are I32 by their bits, as safetensors' readers
// know no unsigned ones everywhere.
//   factor [members, latents, components]   residual, mixture.mean [members, latents]   columns.emission [columns]
//   mixture.threshold, .below, .above       the members' alias table
//   variables.states, .nodes [variables]    then of all nodes, variable after variable, .node_above and .node_entries,
//                                           and of all entries .threshold, .below and .above
//   states.role, .integer, .real            of the columns with a variable, column after column
//   mixture.balanced [1]                    U8, 1: rows are balanced; absent: they are not

constexpr const char* kMeanTensor = "mixture.mean";
constexpr const char* kBalancedTensor = "mixture.balanced";

struct AliasTensors {
  std::vector<int32_t> threshold, below, above;
  void append(const AliasTable& table) {
    for (uint32_t word : table.threshold) threshold.push_back(static_cast<int32_t>(word));
    below.insert(below.end(), table.below.begin(), table.below.end());
    above.insert(above.end(), table.above.begin(), table.above.end());
  }
  void save(const std::string& group, ModelFile& file) const {
    file.tensors[group + ".threshold"] = list_of(threshold);
    file.tensors[group + ".below"] = list_of(below);
    file.tensors[group + ".above"] = list_of(above);
  }
};

class AliasDealer {
 public:
  AliasDealer(const ModelFile& file, const std::string& group)
      : threshold_(file, group + ".threshold"), below_(file, group + ".below"), above_(file, group + ".above") {}
  AliasTable take(int64_t count) {
    AliasTable table;
    for (int32_t word : threshold_.take(count)) table.threshold.push_back(static_cast<uint32_t>(word));
    table.below = below_.take(count);
    table.above = above_.take(count);
    return table;
  }
  int64_t left() const { return threshold_.left(); }
  void finish() const { threshold_.finish(), below_.finish(), above_.finish(); }

 private:
  Dealer<int32_t> threshold_, below_, above_;
};

void save_mixture(const TableSampler& sampler, ModelFile& file) {
  const int64_t members = sampler.members, latents = sampler.latents;
  file.tensors["factor"].shape = {members, latents, sampler.components};
  file.tensors["residual"].shape = {members, latents};
  file.tensors[kMeanTensor] = Tensor::from(sampler.mean, {members, latents});
  AliasTensors member, entries;
  member.append(sampler.member);
  member.save("mixture", file);
  std::vector<int32_t> states, above;
  std::vector<int64_t> nodes, node_entries;
  for (const Emission& emission : sampler.emissions) {
    states.push_back(emission.states);
    nodes.push_back(static_cast<int64_t>(emission.above.size()));
    above.insert(above.end(), emission.above.begin(), emission.above.end());
    for (size_t node = 0; node < emission.above.size(); ++node)
      node_entries.push_back(emission.first[node + 1] - emission.first[node]);
    entries.append(emission.table);
  }
  file.tensors["variables.states"] = list_of(states);
  file.tensors["variables.nodes"] = list_of(nodes);
  file.tensors["variables.node_above"] = list_of(above);
  file.tensors["variables.node_entries"] = list_of(node_entries);
  entries.save("variables", file);
  file.tensors["columns.emission"] = of_columns<int32_t>(sampler, [](const ColumnSampler& c) { return c.emission; });
  std::vector<uint8_t> roles;
  for (const ColumnSampler& column : sampler.columns)
    for (StateRole role : column.state_role) roles.push_back(static_cast<uint8_t>(role));
  file.tensors["states.role"] = list_of(roles);
  if (sampler.balanced) file.tensors[kBalancedTensor] = list_of(std::vector<uint8_t>{1});
  file.tensors["states.integer"] = joined(sampler, &ColumnSampler::state_integer);
  file.tensors["states.real"] = joined(sampler, &ColumnSampler::state_real);
}

void load_variables(const ModelFile& file, TableSampler& sampler) {
  Dealer<int32_t> states(file, "variables.states"), above(file, "variables.node_above");
  Dealer<int64_t> nodes(file, "variables.nodes"), node_entries(file, "variables.node_entries");
  AliasDealer entries(file, "variables");
  while (states.left() > 0) {
    Emission& emission = sampler.emissions.emplace_back();
    emission.states = states.take(1).front();
    const int64_t count = nodes.take(1).front();
    emission.above = above.take(count);
    emission.first = {0};
    for (int64_t of_node : node_entries.take(count)) {
      if (of_node < 0 || of_node > entries.left())
        throw InputError("model file: a variable's node has too many entries");
      emission.first.push_back(emission.first.back() + of_node);
    }
    emission.table = entries.take(emission.first.back());
  }
  nodes.finish(), above.finish(), node_entries.finish(), entries.finish();
}

void load_states(const ModelFile& file, TableSampler& sampler) {
  const auto emission = file.tensor("columns.emission", extents(sampler.columns.size())).to<int32_t>();
  Dealer<uint8_t> roles(file, "states.role");
  Dealer<int64_t> integers(file, "states.integer");
  Dealer<double> reals(file, "states.real");
  for (size_t c = 0; c < sampler.columns.size(); ++c) {
    ColumnSampler& column = sampler.columns[c];
    column.emission = emission[c];
    if (column.emission < 0) continue;
    if (column.emission >= static_cast<int64_t>(sampler.emissions.size()))
      throw InputError("model file: a column is of a variable that is not there");
    const int64_t states = sampler.emissions[static_cast<size_t>(column.emission)].states;
    for (uint8_t role : roles.take(states)) column.state_role.push_back(static_cast<StateRole>(role));
    const bool is_whole = is_integer(column.storage);
    column.state_integer = integers.take(is_whole ? states : 0);
    column.state_real = reals.take(is_whole ? 0 : states);
  }
  roles.finish(), integers.finish(), reals.finish();
}

// What is of the mixture as a whole; its columns must be there.
void load_mixture(const ModelFile& file, TableSampler& sampler) {
  sampler.mean = file.tensor(kMeanTensor, {sampler.members, sampler.latents}).to<float>();
  AliasDealer member(file, "mixture");
  sampler.member = member.take(member.left());
  member.finish();
  if (!sampler.is_mixture()) throw InputError("model file: a mixture without members");
  sampler.balanced = file.tensors.contains(kBalancedTensor) && file.tensor(kBalancedTensor, {1}).to<uint8_t>()[0] != 0;
  load_variables(file, sampler);
  load_states(file, sampler);
}

// Dimensions, factor and residual, of a mixture or of a model that is none.
void load_weights(const ModelFile& file, bool is_mixture, TableSampler& sampler) {
  const Tensor& factor = file.tensor("factor", std::vector<int64_t>(is_mixture ? 3 : 2, -1));
  constexpr int64_t kMost = 1 << 30;
  for (int64_t extent : factor.shape)
    if (extent > kMost) throw InputError("model file: tensor 'factor' is too large");
  if (is_mixture) sampler.members = static_cast<int32_t>(factor.shape[0]);
  sampler.latents = static_cast<int32_t>(factor.shape[factor.shape.size() - 2]);
  sampler.components = static_cast<int32_t>(factor.shape.back());
  sampler.factor = factor.to<float>();
  const std::vector<int64_t> shape = {sampler.members, sampler.latents};
  sampler.residual = file.tensor("residual", {is_mixture ? shape.begin() : shape.begin() + 1, shape.end()}).to<float>();
}

nlohmann::json texts_json(const TableRecipe& recipe) {
  nlohmann::json texts = nlohmann::json::array();
  for (size_t c = 0; c < recipe.texts.size(); ++c) {
    const TextRecipe& text = recipe.texts[c];
    if (text.patterns.empty() && !text.key_is_sequence) continue;
    texts.push_back({{"column", c},
                     {"patterns", text.patterns},
                     {"key_is_sequence", text.key_is_sequence},
                     {"first_key", text.first_key}});
  }
  return texts;
}

}  // namespace

TableRecipe start_recipe(const TableProfile& profile) {
  TableRecipe recipe;
  recipe.schema = profile.schema;
  for (const ColumnProfile& column : profile.columns)
    recipe.texts.push_back({column.text_patterns, column.key_is_sequence, column.first_key});
  return recipe;
}

void check_table_recipe(const TableRecipe& recipe) {
  check_table_sampler(recipe.sampler);
  const auto columns = static_cast<int64_t>(recipe.schema.columns.size());
  if (recipe.sampled.size() != recipe.sampler.columns.size() || static_cast<int64_t>(recipe.texts.size()) != columns)
    throw Error("the model contradicts itself: columns of different number");
  std::vector<bool> is_sampled(recipe.schema.columns.size());
  for (size_t i = 0; i < recipe.sampled.size(); ++i) {
    if (recipe.sampled[i] < 0 || recipe.sampled[i] >= columns || (i > 0 && recipe.sampled[i] <= recipe.sampled[i - 1]))
      throw Error("the model contradicts itself: columns out of order");
    const ColumnSchema& column = recipe.schema.columns[recipe.sampled[i]];
    if (recipe.sampler.columns[i].can_be_missing() && !column.has_missing)
      contradiction(column, "gaps in a column without any");
    check_column(column, recipe.sampler.columns[i]);
    is_sampled[recipe.sampled[i]] = true;
  }
  for (size_t c = 0; c < is_sampled.size(); ++c) {
    const ColumnSchema& column = recipe.schema.columns[c];
    if (has_values(column.kind) && !is_sampled[c]) contradiction(column, "nothing makes its values");
  }
}

void save_table_recipe(const TableRecipe& recipe, ModelFile& file) {
  const TableSampler& sampler = recipe.sampler;
  file.metadata["schema"] = to_json(recipe.schema);
  file.metadata["texts"] = texts_json(recipe);
  file.tensors["factor"] = Tensor::from(sampler.factor, {sampler.latents, sampler.components});
  file.tensors["residual"] = Tensor::from(sampler.residual, {sampler.latents});
  file.tensors["columns.sampled"] = Tensor::from(recipe.sampled, extents(recipe.sampled.size()));
  file.tensors["columns.storage"] = of_columns<uint8_t>(sampler, [](const ColumnSampler& c) { return c.storage; });
  file.tensors["columns.transform"] = of_columns<uint8_t>(sampler, [](const ColumnSampler& c) { return c.transform; });
  file.tensors["columns.latent"] = of_columns<int32_t>(sampler, [](const ColumnSampler& c) { return c.latent; });
  file.tensors["columns.missing_latent"] =
      of_columns<int32_t>(sampler, [](const ColumnSampler& c) { return c.missing_latent; });
  file.tensors["columns.missing_threshold"] =
      of_columns<float>(sampler, [](const ColumnSampler& c) { return c.missing_threshold; });
  file.tensors["columns.segments"] =
      of_columns<int64_t>(sampler, [](const ColumnSampler& c) { return c.lower.size(); });
  std::vector<double> linear;
  for (const ColumnSampler& c : sampler.columns)
    linear.insert(linear.end(), {c.mean, c.deviation, c.minimum, c.maximum});
  file.tensors["columns.linear"] = Tensor::from(linear, {static_cast<int64_t>(sampler.columns.size()), 4});
  file.tensors["segments.lower"] = joined(sampler, &ColumnSampler::lower);
  for (size_t i = 0; i < std::size(kIntegerTensors); ++i)
    file.tensors[kIntegerTensors[i]] = joined(sampler, kIntegerMembers[i]);
  file.tensors[kScaleTensor] = joined(sampler, &ColumnSampler::scale);
  for (size_t i = 0; i < std::size(kRealTensors); ++i) file.tensors[kRealTensors[i]] = joined(sampler, kRealMembers[i]);
  if (sampler.is_mixture()) save_mixture(sampler, file);
}

TableRecipe load_table_recipe(const ModelFile& file) {
  try {
    TableRecipe recipe;
    recipe.schema = table_schema_from_json(file.metadata.at("schema"));
    recipe.texts.resize(recipe.schema.columns.size());
    for (const nlohmann::json& text : file.metadata.at("texts")) {
      TextRecipe& target = recipe.texts.at(text.at("column").get<size_t>());
      text.at("patterns").get_to(target.patterns);
      text.at("key_is_sequence").get_to(target.key_is_sequence);
      text.at("first_key").get_to(target.first_key);
    }
    TableSampler& sampler = recipe.sampler;
    const bool is_mixture = file.tensors.contains(kMeanTensor);
    load_weights(file, is_mixture, sampler);
    recipe.sampled = file.tensor("columns.sampled", {-1}).to<int32_t>();
    load_columns(file, sampler, recipe.sampled.size());
    if (is_mixture) load_mixture(file, sampler);
    check_table_recipe(recipe);
    return recipe;
  } catch (const nlohmann::json::exception& error) {
    throw InputError(std::string("model file: its description lacks something (") + error.what() + ")");
  } catch (const std::out_of_range&) {
    throw InputError("model file: a text belongs to no column");
  } catch (const InputError&) {
    throw;
  } catch (const Error& error) {
    throw InputError(std::string("model file: ") + error.what());
  }
}

std::shared_ptr<const Generator> make_table_generator(std::shared_ptr<const TableRecipe> recipe, uint64_t seed,
                                                      const Backend& backend) {
  const TableSampler* sampler = &recipe->sampler;
  return make_table_generator(std::move(recipe), seed,
                              [sampler, &backend] { return backend.prepare_table_sampler(*sampler); });
}

std::shared_ptr<const Generator> make_table_generator(std::shared_ptr<const TableRecipe> recipe, uint64_t seed,
                                                      PrepareTableSampler prepare) {
  return std::make_shared<TableGenerator>(std::move(recipe), seed, std::move(prepare));
}

}  // namespace doppel
