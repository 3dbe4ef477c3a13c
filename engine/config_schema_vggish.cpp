#include "engine/config_schema.h"

namespace emer::schema {

void add_vggish_keys(std::vector<Key>& k) {
  k.push_back({"model.vggish.channels",
               WidthsField{[](Config& c) -> std::vector<int>& { return c.model.vggish.channels; }},
               "channels", "vggish_*: of conv1, conv2, conv3_1, conv3_2, conv4_1, conv4_2", ""});
  k.push_back({"model.vggish.dense",
               WidthsField{[](Config& c) -> std::vector<int>& { return c.model.vggish.dense; }}, "units",
               "vggish_*: the three dense layers; the last is the width of a patch's vector", ""});
  k.push_back({"model.vggish.trainable",
               BoolField{[](Config& c) -> bool& { return c.model.vggish.trainable; }}, "-",
               "vggish_*: false keeps the conv encoder as it starts", ""});
  k.push_back({"model.vggish.piece",
               IntField{[](const Config& c) { return std::int64_t{c.model.vggish.piece}; },
                        [](Config& c, std::int64_t v) { c.model.vggish.piece = static_cast<int>(v); }},
               "patches",
               "vggish_*: gone through at once; of a batch with more, backward computes every piece again "
               "(gradient checkpointing); 0 = all",
               ""});
  k.push_back(
      {"model.vggish.kernel",
       ChoiceField{{"auto", "plain", "mma", "hopper", "cudnn", "tune"},
                   [](const Config& c) { return static_cast<int>(c.model.vggish.kernel); },
                   [](Config& c, int v) { c.model.vggish.kernel = static_cast<VggishKernel>(v); },
                   {}},
       "-",
       "on CUDA: how the convolutions are computed; auto is plain, tune tries them all on this device "
       "and keeps the fastest for each block",
       ""});
  k.push_back({"model.vggish.weights",
               PathField{[](Config& c) -> std::string& { return c.model.vggish.weights; }}, "path",
               "vggish_*: weights to start from (`emer convert vggish`); empty = random", ""});
  k.push_back({"model.vggish.learning_rate_scale",
               RealField{[](Config& c) -> double& { return c.model.vggish.learning_rate_scale; }, 0,
                         std::numeric_limits<double>::infinity(), true, false},
               "-", "vggish_*: multiplies the learning rate of the conv encoder", ""});
}

}  // namespace emer::schema
