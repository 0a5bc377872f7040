#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <numeric>

#include "engine/table/pattern_classes.h"
#include "engine/table/patterns.h"
#include "kernels/common/error.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

// Blocks of Philox words of one column and row: [0, kCharacterBlocks) for characters, then for permutations.
constexpr uint32_t kBlockBits = 10, kDealBlock = 1022, kPermutationBlock = 1023;
constexpr uint64_t kDealRows = 1024;
constexpr int kDealBits = 10;
// Rows, and the texts of one pattern that are told apart.
constexpr uint64_t kMostTexts = uint64_t{1} << 62;

using Words = std::array<uint32_t, 4>;

Words text_words(uint64_t seed, uint64_t row, uint32_t column, uint32_t block) {
  return philox_words(seed, row, column << kBlockBits | block, Stream::kText);
}

// The words of a row, one after the other.
class WordStream {
 public:
  WordStream(uint64_t seed, uint64_t row, uint32_t column) : seed_(seed), row_(row), column_(column) {}
  uint32_t next() {
    if (used_ == words_.size()) {
      words_ = text_words(seed_, row_, column_, block_++);
      used_ = 0;
    }
    return words_[used_++];
  }
  // Uniform in [0, size), but for a bias below size / 2^32.
  uint32_t below(uint32_t size) { return static_cast<uint32_t>(static_cast<uint64_t>(next()) * size >> 32); }

 private:
  uint64_t seed_, row_;
  uint32_t column_, block_ = 0;
  Words words_{};
  size_t used_ = 4;
};

// The characters that one place of a text may hold.
struct Alphabet {
  CharacterSet characters;
  uint32_t size = 0;
  size_t bytes = 0;  // of the widest

  explicit Alphabet(CharacterSet set) : characters(std::move(set)) {
    for (const auto& [first, last] : characters) {
      size += last - first + 1;
      bytes = std::max(bytes, character_bytes(last));
    }
  }
  void append(uint32_t index, std::string& out) const {
    for (const auto& [first, last] : characters) {
      const uint32_t count = last - first + 1;
      if (index < count) return append_character(first + index, out);
      index -= count;
    }
  }
  bool overlaps(const Alphabet& other) const {
    for (const auto& [first, last] : characters) {
      for (const auto& [other_first, other_last] : other.characters) {
        if (first <= other_last && other_first <= last) return true;
      }
    }
    return false;
  }
  static Alphabet union_of(const Alphabet& a, const Alphabet& b) {
    CharacterSet all = a.characters;
    all.insert(all.end(), b.characters.begin(), b.characters.end());
    std::sort(all.begin(), all.end());
    CharacterSet merged;
    for (const auto& [first, last] : all) {
      if (!merged.empty() && first <= merged.back().second + 1)
        merged.back().second = std::max(merged.back().second, last);
      else
        merged.emplace_back(first, last);
    }
    return Alphabet(std::move(merged));
  }
};

using Places = std::vector<Alphabet>;

size_t most_bytes(const Places& places) {
  return std::accumulate(places.begin(), places.end(), size_t{0},
                         [](size_t sum, const Alphabet& place) { return sum + place.bytes; });
}

Places read_pattern(const std::string& pattern, const std::string& name) {
  const auto fail = [&]() -> InputError {
    return InputError("column '" + name + "': '" + pattern.substr(0, 100) +
                      "' is no pattern of texts: the model is damaged");
  };
  Places places;
  if (pattern.empty()) throw fail();
  for (size_t at = 0; at < pattern.size();) {
    ClassId id = ClassId::kLiteral;
    char32_t literal = 0;
    if (!read_class(pattern, at, id, literal)) throw fail();
    size_t count = 1;
    if (at < pattern.size() && pattern[at] == '{') {
      const char* const end = pattern.data() + pattern.size();
      const auto [stop, error] = std::from_chars(pattern.data() + at + 1, end, count);
      if (error != std::errc() || stop == end || *stop != '}' || count == 0) throw fail();
      at = static_cast<size_t>(stop - pattern.data()) + 1;
    }
    if (count > kMaximumPatternCharacters - places.size()) throw fail();
    places.insert(places.end(), count, Alphabet(characters_of(id, literal)));
  }
  return places;
}

struct WeightedPattern {
  Places places;
  int64_t count;
};

std::vector<WeightedPattern> read_patterns(const ColumnSchema& schema, const TextRecipe& recipe) {
  std::vector<WeightedPattern> patterns;
  int64_t total = 0;
  for (const auto& [pattern, count] : recipe.patterns) {
    if (count < 1 || __builtin_add_overflow(total, count, &total))
      throw InputError("column '" + schema.name + "': a pattern of texts has the count " + std::to_string(count) +
                       ": the model is damaged");
    patterns.push_back({read_pattern(pattern, schema.name), count});
  }
  if (patterns.empty())
    throw InputError("column '" + schema.name + "': has no patterns of texts: the model is damaged");
  return patterns;
}

// ---- sequences

class SequenceKeys : public TextSource {
 public:
  explicit SequenceKeys(int64_t first) : first_(first) {}
  void append(uint64_t, uint64_t row, std::string& out) const override {
    std::array<char, 24> text;
    // Beyond int64 the digits go on.
    const auto key = static_cast<__int128>(first_) + row;
    const bool is_negative = key < 0;
    const auto magnitude = static_cast<uint64_t>(is_negative ? -key : key);
    if (is_negative) out += '-';
    const char* const end = std::to_chars(text.data(), text.data() + text.size(), magnitude).ptr;
    out.append(text.data(), static_cast<size_t>(end - text.data()));
  }
  size_t max_bytes() const override { return 20; }

 private:
  int64_t first_;
};

// ---- free text

class FreeTexts : public TextSource {
 public:
  FreeTexts(std::vector<WeightedPattern> patterns, uint32_t column) : column_(column) {
    int64_t sum = 0;
    for (WeightedPattern& pattern : patterns) {
      sum += pattern.count;
      ends_.push_back(sum);
      max_bytes_ = std::max(max_bytes_, most_bytes(pattern.places));
      patterns_.push_back(std::move(pattern.places));
    }
  }

  void append(uint64_t seed, uint64_t row, std::string& out) const override {
    WordStream words(seed, row, column_);
    const uint64_t high = words.next(), draw = high << 32 | words.next();
    const auto target =
        static_cast<int64_t>(static_cast<unsigned __int128>(draw) * static_cast<uint64_t>(ends_.back()) >> 64);
    const auto at = std::upper_bound(ends_.begin(), ends_.end(), target) - ends_.begin();
    for (const Alphabet& place : patterns_[static_cast<size_t>(at)])
      place.append(place.size == 1 ? 0 : words.below(place.size), out);
  }
  size_t max_bytes() const override { return max_bytes_; }

 private:
  uint32_t column_;
  std::vector<int64_t> ends_;  // cumulative counts
  std::vector<Places> patterns_;
  size_t max_bytes_ = 0;
};

// ---- unique keys

uint64_t mix(uint64_t value) {  // the finaliser of MurmurHash3 (Austin Appleby)
  value = (value ^ value >> 33) * 0xff51afd7ed558ccdull;
  value = (value ^ value >> 33) * 0xc4ceb9fe1a85ec53ull;
  return value ^ value >> 33;
}

// A permutation of [0, size): four rounds of a balanced Feistel network, applied until the result is below size.
uint64_t permute(uint64_t value, uint64_t size, const Words& keys) {
  const int half = (std::bit_width(size - 1) + 1) / 2;
  const uint64_t mask = (uint64_t{1} << half) - 1;
  if (half == 0) return 0;
  do {
    uint64_t left = value >> half, right = value & mask;
    for (const uint32_t key : keys) {
      const uint64_t next = left ^ (mix(right | static_cast<uint64_t>(key) << 32) & mask);
      left = right;
      right = next;
    }
    value = left << half | right;
  } while (value >= size);
  return value;
}

// All texts of one form, numbered.
class TextSpace {
 public:
  explicit TextSpace(Places places) : places_(std::move(places)) {
    first_numbered_ = places_.size();
    while (first_numbered_ > 0 && size_ < kMostTexts) {
      const uint64_t choices = places_[--first_numbered_].size;
      size_ = choices >= kMostTexts / size_ ? kMostTexts : size_ * choices;
    }
  }
  uint64_t size() const { return size_; }  // at most kMostTexts
  const Places& places() const { return places_; }

  // Text `number` < size(). Places before those that the number fills are drawn.
  void append(uint64_t number, WordStream& words, std::string& out) const {
    std::array<uint32_t, 2 * kMaximumPatternCharacters> indices;
    for (size_t at = places_.size(); at-- > first_numbered_;) {
      indices[at] = static_cast<uint32_t>(number % places_[at].size);
      number /= places_[at].size;
    }
    for (size_t at = 0; at < places_.size(); ++at)
      places_[at].append(at < first_numbered_ ? words.below(places_[at].size) : indices[at], out);
  }

 private:
  Places places_;
  size_t first_numbered_ = 0;
  uint64_t size_ = 1;
};

// True where some text is of both forms.
bool overlap(const Places& a, const Places& b) {
  if (a.size() != b.size()) return false;
  for (size_t at = 0; at < a.size(); ++at) {
    if (!a[at].overlaps(b[at])) return false;
  }
  return true;
}

// Unites patterns until no two have a text in common.
std::vector<WeightedPattern> disjoint_patterns(std::vector<WeightedPattern> patterns) {
  std::vector<WeightedPattern> result;
  for (WeightedPattern& pattern : patterns) {
    for (size_t at = 0; at < result.size();) {
      if (!overlap(pattern.places, result[at].places)) {
        ++at;
        continue;
      }
      for (size_t place = 0; place < pattern.places.size(); ++place)
        pattern.places[place] = Alphabet::union_of(pattern.places[place], result[at].places[place]);
      pattern.count += result[at].count;
      result.erase(result.begin() + static_cast<std::ptrdiff_t>(at));
      at = 0;  // the wider pattern may now overlap those before
    }
    result.push_back(std::move(pattern));
  }
  std::stable_sort(result.begin(), result.end(),
                   [](const WeightedPattern& a, const WeightedPattern& b) { return a.count > b.count; });
  return result;
}

// Shares of kDealRows by the counts: whole parts, then the greatest remainders.
std::vector<uint64_t> deal_shares(const std::vector<WeightedPattern>& patterns) {
  unsigned __int128 total = 0;
  for (const WeightedPattern& pattern : patterns) total += static_cast<uint64_t>(pattern.count);
  std::vector<uint64_t> shares;
  std::vector<std::pair<uint64_t, size_t>> remainders;
  uint64_t left = kDealRows;
  for (size_t index = 0; index < patterns.size(); ++index) {
    const unsigned __int128 scaled = static_cast<unsigned __int128>(patterns[index].count) * kDealRows;
    shares.push_back(static_cast<uint64_t>(scaled / total));
    remainders.emplace_back(~static_cast<uint64_t>(scaled % total), index);
    left -= shares.back();
  }
  std::sort(remainders.begin(), remainders.end());
  for (size_t index = 0; index < left; ++index) ++shares[remainders[index].second];
  return shares;
}

class UniqueKeys : public TextSource {
 public:
  UniqueKeys(std::vector<WeightedPattern> all, uint32_t column) : column_(column) {
    const std::vector<WeightedPattern> patterns = disjoint_patterns(std::move(all));
    const std::vector<uint64_t> shares = deal_shares(patterns);
    uint64_t end = 0;
    bool can_run_out = false;
    for (size_t index = 0; index < patterns.size(); ++index) {
      if (shares[index] == 0) continue;
      spaces_.emplace_back(patterns[index].places);
      end += shares[index];
      share_ends_.push_back(end);
      can_run_out |= spaces_.back().size() < kMostTexts / kDealRows * shares[index];
      max_bytes_ = std::max(max_bytes_, most_bytes(patterns[index].places));
    }
    if (can_run_out) make_longer_forms();
  }

  void append(uint64_t seed, uint64_t row, std::string& out) const override {
    WordStream words(seed, row, column_);
    const uint64_t block = row / kDealRows;
    uint64_t place = row % kDealRows;
    size_t index = 0;
    if (spaces_.size() > 1) {
      place = permute(place, kDealRows, text_words(seed, block, column_, kDealBlock));
      index =
          static_cast<size_t>(std::upper_bound(share_ends_.begin(), share_ends_.end(), place) - share_ends_.begin());
    }
    const uint64_t begin = index == 0 ? 0 : share_ends_[index - 1];
    const TextSpace* space = &spaces_[index];
    uint64_t number = block * (share_ends_[index] - begin) + place - begin;
    if (number >= space->size() && !longer_.empty()) {
      // The row's own number is unique among all longer texts.
      number = row;
      size_t form = 0;
      while (form + 1 < longer_.size() && longer_[form].size() <= row) ++form;
      space = &longer_[form];
      index = spaces_.size() + form;
    }
    number = permute(number % space->size(), space->size(), text_words(seed, index, column_, kPermutationBlock));
    space->append(number, words, out);
  }
  size_t max_bytes() const override { return max_bytes_; }

 private:
  // The most frequent pattern, longer than all patterns by one character, by two, ... until all rows have a text.
  void make_longer_forms() {
    size_t longest = 0;
    for (const TextSpace& space : spaces_) longest = std::max(longest, space.places().size());
    Places places = spaces_.front().places();
    const Alphabet digits({{'0', '9'}});
    size_t at = places.size();
    while (at > 0 && places[at - 1].size == 1) --at;
    // A number's first digit is followed by any digits.
    const Alphabet more = at == 0 || places[at - 1].size < digits.size ? digits : places[at - 1];
    if (at == 0) at = places.size();
    places.insert(places.begin() + static_cast<std::ptrdiff_t>(at), longest + 1 - places.size(), more);
    for (longer_.emplace_back(places); longer_.back().size() < kMostTexts; longer_.emplace_back(places))
      places.insert(places.begin() + static_cast<std::ptrdiff_t>(at), more);
    max_bytes_ = std::max(max_bytes_, most_bytes(places));
  }

  uint32_t column_;
  std::vector<TextSpace> spaces_;     // the most frequent first
  std::vector<uint64_t> share_ends_;  // cumulative shares of kDealRows
  std::vector<TextSpace> longer_;
  size_t max_bytes_ = 0;
};

}  // namespace

std::shared_ptr<const TextSource> make_text_source(const ColumnSchema& schema, const TextRecipe& recipe,
                                                   uint32_t column) {
  if (schema.kind == ColumnKind::kKey && recipe.key_is_sequence)
    return std::make_shared<SequenceKeys>(recipe.first_key);
  std::vector<WeightedPattern> patterns = read_patterns(schema, recipe);
  if (schema.kind == ColumnKind::kKey) return std::make_shared<UniqueKeys>(std::move(patterns), column);
  return std::make_shared<FreeTexts>(std::move(patterns), column);
}

}  // namespace doppel
