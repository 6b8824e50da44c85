//! What is in the unions of V4L2's structures.

#![allow(unsafe_code)]

use v4l::v4l_sys::{
    v4l2_format, v4l2_fract, v4l2_frmivalenum, v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE,
    v4l2_frmsizeenum, v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE, v4l2_pix_format,
    v4l2_streamparm,
};

use super::negotiation::{Interval, IntervalOffer, Steps};

/// Width and height of a listed size.
pub(super) fn sizes(listed: &v4l2_frmsizeenum) -> (Steps, Steps) {
    // SAFETY: both members of the union are of plain integers, valid whatever
    // the driver has written.
    let (discrete, range) = unsafe {
        let union = &listed.__bindgen_anon_1;
        (union.discrete, union.stepwise)
    };
    if listed.type_ == v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE {
        return (Steps::only(discrete.width), Steps::only(discrete.height));
    }
    (
        Steps {
            min: range.min_width,
            max: range.max_width,
            step: range.step_width,
        },
        Steps {
            min: range.min_height,
            max: range.max_height,
            step: range.step_height,
        },
    )
}

/// A listed interval, or range of them.
pub(super) fn interval(listed: &v4l2_frmivalenum) -> IntervalOffer {
    // SAFETY: as in `sizes`.
    let (discrete, range) = unsafe {
        let union = &listed.__bindgen_anon_1;
        (union.discrete, union.stepwise)
    };
    if listed.type_ == v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE {
        return IntervalOffer::Discrete(discrete.into());
    }
    IntervalOffer::Range {
        shortest: range.min.into(),
        longest: range.max.into(),
    }
}

/// How the colours of a picture format are encoded, `enum v4l2_ycbcr_encoding`.
pub(super) fn ycbcr_encoding(format: &v4l2_pix_format) -> u32 {
    // SAFETY: both members of the union are the same plain integer.
    unsafe { format.__bindgen_anon_1.ycbcr_enc }
}

/// The picture format of a format for capture.
pub(super) fn pix(format: &v4l2_format) -> v4l2_pix_format {
    // SAFETY: as in `sizes`.
    unsafe { format.fmt.pix }
}

/// The interval that is set for capture.
pub(super) fn time_per_frame(parameters: &v4l2_streamparm) -> Interval {
    // SAFETY: as in `sizes`.
    unsafe { parameters.parm.capture.timeperframe }.into()
}

impl From<v4l2_fract> for Interval {
    fn from(fraction: v4l2_fract) -> Self {
        Self {
            numerator: fraction.numerator,
            denominator: fraction.denominator,
        }
    }
}
