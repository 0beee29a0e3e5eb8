/** The three errors a user can meet. Messages read "subject: got X, expected Y; what to do". */

/** Sizes, axes or a spec that do not fit together. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

/** A file, a text or a setting that is not what it claims to be. */
export class FormatError extends Error {
  override name = "FormatError";
}

/** Something this machine cannot do: memory, threads, SIMD, disk. */
export class DeviceError extends Error {
  override name = "DeviceError";
}
