// Whether a text can name an image: the grammar of distribution/reference. What it names is the engine's business.

const DOMAIN_PART = "(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)";
const DOMAIN = `(?:${DOMAIN_PART}(?:\\.${DOMAIN_PART})*|\\[[0-9a-fA-F:]+\\])(?::[0-9]+)?`;
const PATH_PART = "[a-z0-9]+(?:(?:\\.|_|__|-+)[a-z0-9]+)*";
const TAG = "\\w[\\w.-]{0,127}";
const DIGEST = "[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}";
const REFERENCE = new RegExp(`^(?:${DOMAIN}/)?${PATH_PART}(?:/${PATH_PART})*(?::${TAG})?(?:@${DIGEST})?$`);
/** Of the name without tag and digest (reference.NameTotalLengthMax); the rest adds at most a tag and a sha512. */
const NAME_LIMIT = 255;
const LENGTH_LIMIT = NAME_LIMIT + 1 + 128 + 1 + 7 + 128;

/** Accepts "alpine", "docker.io/library/alpine:3", "localhost:5000/x@sha256:…"; refuses upper case paths and bare 64-digit ids. */
export function isImageReference(text: string): boolean {
  if (text.length > LENGTH_LIMIT || /^[a-f0-9]{64}$/.test(text)) return false;
  return REFERENCE.test(text);
}
