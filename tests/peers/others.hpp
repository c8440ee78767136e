#pragma once

#include <curfew/tls/certificate_authority.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "program.hpp"

namespace curfew::tests {

/// nginx in its own folder, on a free port.
class nginx {
 public:
  /// \param http    Lines of its http block: upstreams, timeouts.
  /// \param server  Lines of its server block: locations.
  /// \param tls     With this certificate, over https.
  nginx(std::string_view http, std::string_view server, const testing::test_certificate* tls = nullptr)
      : tls_(tls != nullptr),
        program_({find_program("nginx"), "-p", folder_ / "", "-e", folder_ / "error.log", "-c",
                  configure(http, server, tls)},
                 &port_, {"NGINX=3;"}) {}  // the sockets that it takes over

  [[nodiscard]] std::string url(std::string_view path) const {
    return (tls_ ? "https" : "http") + port_.url(path).substr(4);
  }
  [[nodiscard]] std::uint16_t port() const { return port_.number(); }
  /// Puts a file below its root.
  void add_file(const std::string& name, std::string_view content) const {
    folder_.write("root/" + name, content);
  }

 private:
  std::string configure(std::string_view http, std::string_view server,
                        const testing::test_certificate* tls) {
    // Workers of root would be those of another user, to which the folder is closed.
    std::string made = ::geteuid() == 0 ? "user root;\n" : "";
    made +=
        "daemon off; worker_processes 1; pid nginx.pid;\n"
        "events {}\nhttp {\naccess_log off;\ndefault_type text/plain;\n";
    for (const std::string kind : {"client_body", "proxy", "fastcgi", "uwsgi", "scgi"})
      made += kind + "_temp_path " + (folder_ / kind) + ";\n";
    made.append(http).append("server {\nlisten ").append(port_.address());
    if (tls != nullptr)
      made += " ssl;\nssl_certificate " + tls->chain_file() + ";\nssl_certificate_key " + tls->key_file();
    made.append(";\nroot ");
    made.append(folder_ / "root").append(";\n").append(server).append("}\n}\n");
    return folder_.write("nginx.conf", made);
  }

  bool tls_;
  own_folder folder_;
  free_port port_;
  program program_;
};

/// haproxy in front of a server, on a free port.
class haproxy {
 public:
  /// \param server  Its address and its options: "127.0.0.1:40312 send-proxy".
  /// \param lines   Of its listen block.
  /// \param bind    Options of its own socket: "ssl crt server.pem".
  explicit haproxy(const std::string& server, std::string_view lines = {}, std::string_view bind = {})
      : program_({find_program("haproxy"), "-db", "-f", configure(server, lines, bind)}, &port_) {}

  [[nodiscard]] std::string url(std::string_view path) const { return port_.url(path); }
  [[nodiscard]] std::uint16_t port() const { return port_.number(); }

 private:
  std::string configure(const std::string& server, std::string_view lines, std::string_view bind) {
    std::string made =
        "defaults\n  mode http\n  option abortonclose\n  timeout connect 20s\n"
        "  timeout client 60s\n  timeout server 60s\nlisten all\n  bind fd@3 ";
    made.append(bind).append("\n").append(lines).append("  server one ").append(server).append("\n");
    return folder_.write("haproxy.cfg", made);
  }

  own_folder folder_;
  free_port port_;
  program program_;
};

}  // namespace curfew::tests
