// Ringkeep for C++17: whole clusters in one process, for tests. Header only, over ringkeep.hpp.
#ifndef RINGKEEP_TESTING_HPP
#define RINGKEEP_TESTING_HPP
#include <ringkeep.hpp>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace ringkeep {

// Real nodes in this process, for tests. Its end closes them.
class Cluster {
 public:
  explicit Cluster(std::size_t size = 3, std::uint32_t n = 3) : Cluster(size, n, nullptr) {}
  Cluster(std::size_t size, std::uint32_t n, const std::string &path) : Cluster(size, n, path.c_str()) {}
  // Its end leaves the node running; after a restart the place has another node.
  Store node(std::size_t i) const {
    return store([&](rk_store **out, rk_error *error) { return rk_cluster_node(cluster_.get(), i, out, error); });
  }
  // Reaches every node, however the network between them is cut.
  Store client() const {
    return store([&](rk_store **out, rk_error *error) { return rk_cluster_client(cluster_.get(), out, error); });
  }
  // As kill -9 would: nothing is flushed.
  void kill(std::size_t i) {
    detail::check([&](rk_error *error) { return rk_cluster_kill(cluster_.get(), i, error); });
  }
  void restart(std::size_t i) {
    detail::check([&](rk_error *error) { return rk_cluster_restart(cluster_.get(), i, error); });
  }
  // Nodes that no group names form one more group together.
  void partition(const std::vector<std::vector<std::size_t>> &groups) {
    std::vector<std::size_t> nodes, sizes;
    for (const auto &group : groups) {
      nodes.insert(nodes.end(), group.begin(), group.end());
      sizes.push_back(group.size());
    }
    detail::check([&](rk_error *error) {
      return rk_cluster_partition(cluster_.get(), nodes.data(), sizes.data(), sizes.size(), error);
    });
  }
  void heal() {
    detail::check([&](rk_error *error) { return rk_cluster_heal(cluster_.get(), error); });
  }
  void settle(std::chrono::milliseconds timeout = std::chrono::seconds(10)) {
    detail::check([&](rk_error *error) { return rk_cluster_settle(cluster_.get(), timeout.count(), error); });
  }
  rk_cluster *get() const noexcept { return cluster_.get(); }

 private:
  Cluster(std::size_t size, std::uint32_t n, const char *path) {
    rk_cluster *cluster = nullptr;
    detail::check([&](rk_error *error) { return rk_cluster_start(size, n, path, &cluster, error); });
    cluster_.reset(cluster);
  }
  template <class Make>
  static Store store(Make make) {
    rk_store *store = nullptr;
    detail::check([&](rk_error *error) { return make(&store, error); });
    return Store(store);
  }
  detail::Owned<rk_cluster, rk_cluster_free> cluster_;
};

}  // namespace ringkeep

#endif
