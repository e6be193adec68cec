// The cluster room: identity of the swarm and of its nodes.
export { type CertificateAuthority, createCertificateAuthority, tlsInfoOf } from "./certificate-authority.ts";
export { newJoinToken, newUnlockKey } from "./join-token.ts";
