"""Who is who: the installation's CA, certificates, Agent copies and TLS contexts."""
