{
  "targets": [
    {
      "target_name": "vhost-user",
      "sources": ["binding.cc", "channel.cc", "negotiation.cc", "ring.cc", "session.cc", "shared-pool.cc"],
      "cflags": ["-Wall", "-Wextra", "-Werror"],
      "cflags_cc": ["-std=c++17"]
    }
  ]
}
