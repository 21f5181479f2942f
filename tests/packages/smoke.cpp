// What a stranger tries first with the installed C++ header: values, a merge, a scan, an error of its own class.
#include <ringkeep.hpp>
#include <ringkeep_testing.hpp>

#include <iostream>

int main() {
  auto db = ringkeep::Store::open("data-cpp");
  db.put("user:1", "Ada");
  db.put("user:2", "Grace", ringkeep::Options().timeout(std::chrono::seconds(2)));
  auto merged = db.update("user:1", [](const std::vector<std::string> &siblings) -> std::optional<std::string> {
    return siblings.at(0) + " Lovelace";
  });
  std::string names;
  for (const auto &item : db.scan({"user:", "", "", -1})) names += std::string(item.value()) + ";";
  bool refused = false;
  try {
    db.bucket("carts").get("k");
  } catch (const ringkeep::NoSuchBucket &error) {
    refused = std::string(error.kind()) == "NO_SUCH_BUCKET";
  }
  bool thrown = false;
  try {
    db.update("user:1", [](const std::vector<std::string> &) -> std::optional<std::string> {
      throw std::logic_error("enough");
    });
  } catch (const std::logic_error &) {
    thrown = true;
  }
  bool good = merged == "Ada Lovelace" && names == "Ada Lovelace;Grace;" && !db.get("nope") && refused && thrown &&
              db.count() == 2 && db.get_many({"user:2", "nope"})[0] == "Grace" && !db.erase("user:2").context().bytes().empty();
  db.close();
  ringkeep::Cluster cluster(2, 2);
  auto client = cluster.client();
  client.put("k", "v");
  cluster.partition({{0}, {1}});
  cluster.heal();
  cluster.settle();
  good = good && cluster.node(1).get("k") == "v";
  if (!good) std::cerr << "got " << names << "\n";
  return good ? 0 : 1;
}
